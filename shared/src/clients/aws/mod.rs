//! Client of AWS's HTTP APIs. It signs each request with Signature Version 4, without an SDK.

mod client;
mod error;
mod function;

pub use aws_credential_types::Credentials;
pub use client::AwsClient;
pub use error::AwsError;
pub use function::{FunctionStarter, START_INTERVAL};

pub use crate::platform::http_client::classification::aws::{AwsRejection, AwsResponse};
