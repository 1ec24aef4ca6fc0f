//! What an endpoint has to say for itself; the edge does the rest.

use std::future::Future;

use crate::{
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Reported},
};

/// An endpoint.
pub trait Endpoint: Send + Sync + Sized + 'static {
    /// What it answers to.
    const ROUTE: Route;

    /// Takes the rooms that it needs, and no others. Ask for all of them before looking at the first, so that every
    /// mistake in the configuration is reported at once.
    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported>;

    /// Answers a request of a verified caller.
    ///
    /// # Errors
    /// Whatever kept it from doing so; the edge turns it into a problem.
    fn handle(&self, request: Request) -> impl Future<Output = Result<Response, Error>> + Send;
}
