//! The one path and method that a function answers.

use lambda_http::http::Method;

/// A method and a path, in which `{id}` stands for one segment.
///
/// The path is matched here rather than by the gateway, since a function URL hands over no path parameters.
#[derive(Clone, Debug)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, such as `/chatkit/sessions/{id}`.
    pub path: &'static str,
}

impl Route {
    /// A route that reads.
    pub const fn get(path: &'static str) -> Self {
        Self { method: Method::GET, path }
    }

    /// A route that writes.
    pub const fn post(path: &'static str) -> Self {
        Self { method: Method::POST, path }
    }

    /// Whether what stands in the place of `{id}` is a session.
    pub(super) fn is_of_session(&self) -> bool {
        self.path.starts_with("/chatkit/sessions/{id}")
    }

    /// What stands in the place of `{id}`; `Some("")` for a path without one, `None` for a path that is not this route's.
    pub(super) fn id_in<'p>(&self, path: &'p str) -> Option<&'p str> {
        let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
        match self.path.split_once("{id}") {
            None => (path == self.path).then_some(""),
            Some((before, after)) => {
                let id = path.strip_prefix(before)?.strip_suffix(after)?;
                (!id.is_empty() && !id.contains('/')).then_some(id)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gives_its_id_and_no_other_path_does() {
        let route = Route::post("/chatkit/sessions/{id}/cancel");
        assert_eq!(route.id_in("/chatkit/sessions/7/cancel"), Some("7"));
        assert_eq!(route.id_in("/chatkit/sessions/7/cancel/"), Some("7"));
        for other in ["/chatkit/sessions//cancel", "/chatkit/sessions/7/8/cancel", "/chatkit/sessions/7", "/"]
        {
            assert_eq!(route.id_in(other), None, "{other}");
        }
        assert_eq!(Route::get("/chatkit/agents").id_in("/chatkit/agents"), Some(""));
        assert_eq!(Route::get("/chatkit/agents").id_in("/chatkit/agent"), None);
    }
}
