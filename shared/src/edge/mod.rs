//! The edge: one request in, one answer out. Everything that is the same for every endpoint happens here, once:
//! the route, the caller, the deadline, the answer's form, CORS, the log line, and what becomes of a panic.

mod answer;
mod body;
mod cors;
mod event;
mod function;
mod operated;
mod problem;
mod request;
mod route;
mod scheduled;
mod serve;
mod woken;

pub use answer::Answer;
pub use event::{EventResponse, Format, Payload};
pub use function::Function;
pub use operated::{Operated, serve_operated};
pub use request::Request;
pub use route::Route;
pub use scheduled::{Scheduled, serve_scheduled};
pub use serve::{Edge, serve};
pub use woken::{serve_woken, wake};
