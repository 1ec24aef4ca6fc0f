//! HTTP requests and responses, as handlers see them.

mod body;
pub(crate) mod cors;
pub(crate) mod problem_details;
mod request;
mod response;
mod route;

pub use request::Request;
pub use response::Response;
pub(crate) use route::RequestTarget;
pub use route::Route;
