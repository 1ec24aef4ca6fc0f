//! The trait of an HTTP endpoint. [`HttpService`](crate::runtime::HttpService) does everything
//! around it: routing, authentication, CORS, errors and logging.

use std::future::Future;

use crate::{
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Reported},
};

/// An HTTP endpoint: one route and its handler.
pub trait Endpoint: Send + Sync + Sized + 'static {
    const ROUTE: Route;

    /// Builds the dependencies that the endpoint needs, and no others. Request all of them before
    /// unwrapping the first, so that all configuration errors are reported at once.
    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported>;

    /// Handles a request of an authenticated caller.
    ///
    /// # Errors
    /// The HTTP service converts an error to problem details.
    fn handle(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send;
}
