//! Routes: the method and path that a function serves, and matching of requests.

use std::{borrow::Cow, collections::BTreeMap};

use lambda_http::http::Method;
use percent_encoding::percent_decode_str;

/// A method and a path, in which `{id}` matches one segment.
#[derive(Clone, Debug)]
pub struct Route {
    pub method: Method,
    /// For example `/chatkit/sessions/{id}`. At most one segment is `{id}`.
    pub path: &'static str,
}

/// The path of a request, and the route that the gateway matched.
#[derive(Debug, Default)]
pub(crate) struct RequestTarget {
    /// The path as requested, including the mapping key of a custom domain or the name of a stage.
    pub path: String,
    /// The path of the gateway's route, for example `/chatkit/sessions/{id}`. Function URLs have
    /// none.
    pub route: Option<String>,
    /// The gateway's path parameters, by their names in its route.
    pub parameters: BTreeMap<String, String>,
    /// The gateway's stage. `None` for `$default`, which is not part of the path.
    pub stage: Option<String>,
}

impl Route {
    pub const fn get(path: &'static str) -> Self {
        Self { method: Method::GET, path }
    }

    pub const fn post(path: &'static str) -> Self {
        Self { method: Method::POST, path }
    }

    /// Returns whether `{id}` is the id of a session.
    pub(crate) fn names_a_session(&self) -> bool {
        self.path.starts_with("/chatkit/sessions/{id}")
    }

    /// Returns the value of `{id}`: `Some("")` if the route has no `{id}`, `None` if the request
    /// does not match the route.
    ///
    /// The gateway's match takes precedence over the path, since only the gateway knows the prefix
    /// of a custom domain or a stage. The path is matched if the gateway matched no route or a
    /// catch-all.
    pub(crate) fn match_path(&self, target: &RequestTarget) -> Option<String> {
        if target.path.contains("//") {
            return None;
        }
        let path = target.path.strip_suffix('/').unwrap_or(&target.path);
        if let Some(route) = &target.route {
            if let Some(name) = self.parameter_name(route) {
                let parameter = target.parameters.get(name).map(String::as_str);
                return match parameter {
                    _ if name.is_empty() => Some(String::new()),
                    Some(id) => Some(decoded(id).into_owned()),
                    None => self.match_segments(self.last_segments(path)?),
                };
            }
            if let Some((before, name)) = greedy_parameter(route) {
                let path = format!("{before}{}", target.parameters.get(name)?);
                return self.match_segments(path.strip_suffix('/').unwrap_or(&path));
            }
        }
        let below_stage = || {
            let below = path.strip_prefix('/')?.strip_prefix(target.stage.as_deref()?)?;
            self.match_segments(below)
        };
        self.match_segments(path).or_else(below_stage)
    }

    /// Returns the gateway's name for `{id}` if its route is this one; `""` for a route without
    /// `{id}`.
    fn parameter_name<'r>(&self, route: &'r str) -> Option<&'r str> {
        let mut name = "";
        let mut ours = self.path.split('/');
        let mut theirs = route.split('/');
        loop {
            match (ours.next(), theirs.next()) {
                (None, None) => return Some(name),
                (Some("{id}"), Some(their)) => {
                    name = their.strip_prefix('{')?.strip_suffix('}').filter(|name| !name.ends_with('+'))?;
                }
                (Some(our), Some(their)) if our == their => {}
                _ => return None,
            }
        }
    }

    /// Returns the end of a path with as many segments as this route has.
    fn last_segments<'p>(&self, path: &'p str) -> Option<&'p str> {
        let segments = self.path.matches('/').count();
        path.rmatch_indices('/').nth(segments.checked_sub(1)?).map(|(at, _)| &path[at..])
    }

    /// Returns the value of `{id}` if a path matches this route. Percent-encoding does not change a
    /// path (RFC 3986, section 6.2.2.2); an encoded slash does not separate segments.
    fn match_segments(&self, path: &str) -> Option<String> {
        let mut id = Some(String::new());
        let mut ours = self.path.split('/');
        let mut given = path.split('/');
        loop {
            match (ours.next(), given.next()) {
                (None, None) => return id,
                (Some("{id}"), Some(given)) if !given.is_empty() => id = Some(decoded(given).into_owned()),
                (Some(our), Some(given)) if our == decoded(given) => {}
                _ => return None,
            }
        }
    }
}

/// Splits `/chatkit/{proxy+}` into `/chatkit/` and `proxy`.
fn greedy_parameter(route: &str) -> Option<(&str, &str)> {
    let (before, name) = route.strip_suffix("+}")?.rsplit_once('{')?;
    (!before.contains('{')).then_some((before, name))
}

fn decoded(segment: &str) -> Cow<'_, str> {
    percent_decode_str(segment).decode_utf8_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_path(path: &str) -> RequestTarget {
        RequestTarget { path: path.to_owned(), ..RequestTarget::default() }
    }

    fn by_route(path: &str, route: &str, parameters: &[(&str, &str)]) -> RequestTarget {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        RequestTarget { route: Some(route.to_owned()), parameters: parameters.collect(), ..by_path(path) }
    }

    #[test]
    fn matching_path_returns_its_id() {
        let route = Route::post("/chatkit/sessions/{id}/cancel");
        let id = |path: &str| route.match_path(&by_path(path));
        assert_eq!(id("/chatkit/sessions/7/cancel").as_deref(), Some("7"));
        assert_eq!(id("/chatkit/sessions/7/cancel/").as_deref(), Some("7"));
        assert_eq!(id("/%63hatkit/sessions/%37/cancel").as_deref(), Some("7"));
        assert_eq!(id("/chatkit/sessions/a%2Fb/cancel").as_deref(), Some("a/b"));
        for other in [
            "",
            "/",
            "/chatkit/sessions//cancel",
            "//chatkit/sessions/7/cancel",
            "/chatkit/sessions/7/cancel//",
            "/chatkit/sessions/7/8/cancel",
            "/chatkit/sessions/7",
            "/v1/chatkit/sessions/7/cancel",
            "chatkit/sessions/7/cancel",
        ] {
            assert_eq!(id(other), None, "{other}");
        }
        let agents = Route::get("/chatkit/agents");
        assert_eq!(agents.match_path(&by_path("/chatkit/agents")).as_deref(), Some(""));
        assert_eq!(agents.match_path(&by_path("/chatkit/agent")), None);
    }

    #[test]
    fn gateway_route_takes_precedence_over_the_path() {
        let route = Route::post("/chatkit/sessions/{id}/cancel");
        const KEY: &str = "/chatkit/sessions/{sessionId}/cancel";
        const PATH: &str = "/v1/chatkit/sessions/7/cancel";
        let id = |target: RequestTarget| route.match_path(&target);
        assert_eq!(id(by_route(PATH, KEY, &[("sessionId", "7")])).as_deref(), Some("7"));
        assert_eq!(id(by_route(PATH, KEY, &[])).as_deref(), Some("7"));
        assert_eq!(id(by_route("/v1/mapped", KEY, &[])), None);
        assert_eq!(
            id(by_route(PATH, "/{proxy+}", &[("proxy", "chatkit/sessions/7/cancel")])).as_deref(),
            Some("7")
        );
        assert_eq!(
            id(by_route(PATH, "/chatkit/{rest+}", &[("rest", "sessions/7/cancel")])).as_deref(),
            Some("7")
        );
        let slash = [("proxy", "chatkit/sessions/7/cancel/")];
        assert_eq!(id(by_route("/v1/chatkit/sessions/7/cancel/", "/{proxy+}", &slash)).as_deref(), Some("7"));
        assert_eq!(id(by_route(PATH, "/{proxy+}", &[])), None);
        assert_eq!(id(by_route(PATH, "/chatkit/sessions/{id}/events", &[("id", "7")])), None);
        assert_eq!(id(by_route("/v1//chatkit/sessions/7/cancel", KEY, &[("sessionId", "7")])), None);
        let staged = |path: &str| RequestTarget { stage: Some("prod".to_owned()), ..by_path(path) };
        assert_eq!(id(staged("/prod/chatkit/sessions/7/cancel")).as_deref(), Some("7"));
        assert_eq!(id(staged("/chatkit/sessions/7/cancel")).as_deref(), Some("7"));
        assert_eq!(id(staged("/production/chatkit/sessions/7/cancel")), None);
    }
}
