//! HTTP requests, responses and event streams, as handlers use them, and strict JSON bodies,
//! problem details, routes and CORS.

mod body;
pub(crate) mod cors;
pub(crate) mod problem_details;
mod request;
mod response;
mod route;
mod streaming;

pub use request::Request;
pub use response::Response;
pub(crate) use route::RequestTarget;
pub use route::Route;
pub use streaming::{EventStream, StreamingRequest, StreamingResponse};
