//! Lambda's API for invocations, with one role per function.
//! Source: <https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html>

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use aws_lc_rs::rand;
use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::function::FunctionSpec;
use super::http::Functions;
use super::response::InvocationFailure;
use super::signature::{Credentials, verify};
use crate::http::{LatencyRecorder, Port, Server};

/// The region of the local functions.
pub const REGION: &str = "local";

/// The largest event of an asynchronous invocation.
const MAX_EVENT_BYTES: usize = 1024 * 1024;

/// The role of one function.
pub struct Role {
    function: String,
    credentials: Credentials,
    invokes: std::collections::BTreeSet<String>,
}

/// Gives each function the credentials of its own role, as Lambda does, and the URL of this API to
/// those that may invoke others.
pub fn assign_roles(specs: &mut [FunctionSpec], url: &str) -> Result<Vec<Role>> {
    let mut roles = Vec::new();
    for spec in specs {
        let credentials = Credentials {
            // A scope separates its parts by slashes, so the id has letters and digits only.
            access_key_id: format!("ASIA{}", &Uuid::new_v4().simple().to_string().to_uppercase()[..16]),
            secret_access_key: random(30)?,
            session_token: random(300)?,
        };
        let mut set = |name: &str, value: &str| {
            spec.environment.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        };
        set("AWS_ACCESS_KEY_ID", &credentials.access_key_id);
        set("AWS_SECRET_ACCESS_KEY", &credentials.secret_access_key);
        set("AWS_SESSION_TOKEN", &credentials.session_token);
        if !spec.invokes.is_empty() {
            set("AWS_ENDPOINT_URL_LAMBDA", url);
        }
        roles.push(Role { function: spec.name.clone(), credentials, invokes: spec.invokes.clone() });
    }
    Ok(roles)
}

/// Returns random bytes as Base64, whose alphabet has the characters of AWS's secrets.
fn random(bytes: usize) -> Result<String> {
    let mut random = vec![0; bytes];
    rand::fill(&mut random).map_err(|_| anyhow!("the system returned no random bytes"))?;
    Ok(STANDARD.encode(random))
}

/// The API. Dropping it closes it.
pub struct InvokeApi {
    server: Server,
    shared: Arc<Shared>,
}

struct Shared {
    functions: Arc<Functions>,
    roles: Vec<Role>,
    credentials: Vec<Credentials>,
    rejections: Mutex<VecDeque<(u16, &'static str)>>,
    accepted: AtomicUsize,
}

impl InvokeApi {
    pub(super) fn serve(port: Port, functions: Arc<Functions>, roles: Vec<Role>) -> Self {
        let credentials = roles.iter().map(|role| role.credentials.clone()).collect();
        let shared = Arc::new(Shared {
            functions,
            roles,
            credentials,
            rejections: Mutex::default(),
            accepted: AtomicUsize::new(0),
        });
        let server = port.serve(Router::new().fallback(handle).with_state(shared.clone()));
        Self { server, shared }
    }

    /// Base URL, without a trailing slash.
    pub fn url(&self) -> String {
        self.server.url()
    }

    pub fn latency(&self) -> &LatencyRecorder {
        self.server.latency()
    }

    /// Number of asynchronous invocations that were accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Answers the next signed requests with this status and AWS's code, instead of an invocation.
    pub fn reject(&self, times: usize, status: u16, code: &'static str) {
        let mut rejections = self.shared.rejections.lock().unwrap_or_else(PoisonError::into_inner);
        rejections.extend(std::iter::repeat_n((status, code), times));
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, MAX_EVENT_BYTES).await else {
        return error(413, "RequestTooLargeException", "The event is too large.");
    };
    let role = verify(&parts, &body, (REGION, "lambda"), &shared.credentials, Timestamp::now());
    let role = match role {
        Ok(index) => &shared.roles[index],
        Err(rejection) => return error(403, rejection.code, rejection.message),
    };
    let rejection = shared.rejections.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    if let Some((status, code)) = rejection {
        return error(status, code, "A fault of the test.");
    }
    let name = parts.uri.path().strip_prefix("/2015-03-31/functions/");
    let name = name.and_then(|path| path.strip_suffix("/invocations"));
    let Some(name) = name.filter(|name| parts.method == Method::POST && !name.contains('/')) else {
        return error(404, "UnknownOperationException", "There is no such operation.");
    };
    // The name, or the last part of an ARN.
    let name = name.rsplit("%3A").next().unwrap_or_default();
    if !role.invokes.contains(name) {
        let message = format!(
            "User: arn:aws:sts::123456789012:assumed-role/{} is not authorized to perform: \
             lambda:InvokeFunction on resource: {name}",
            role.function
        );
        return error(403, "AccessDeniedException", &message);
    }
    let Some(function) = shared.functions.functions.get(name).cloned() else {
        return error(404, "ResourceNotFoundException", "Function not found.");
    };
    if serde_json::from_slice::<Value>(&body).is_err() {
        return error(400, "InvalidRequestContentException", "Could not parse request body into json.");
    }
    let kind = parts
        .headers
        .get("x-amz-invocation-type")
        .map_or("RequestResponse", |kind| kind.to_str().unwrap_or_default());
    let trace_id = format!("Root=1-{:08x}-{:024x}", Timestamp::now().as_second(), fastrand::u128(..) >> 32);
    let id = Uuid::new_v4().to_string();
    match kind {
        "Event" => {
            shared.accepted.fetch_add(1, Ordering::Relaxed);
            let (failures, name) = (shared.functions.failures.clone(), name.to_owned());
            tokio::spawn(async move {
                if let Err(failure) = function.invoke(&id, &trace_id, body).await {
                    failures.push(&name, failure);
                }
            });
            respond(202, &[], Bytes::new())
        }
        "RequestResponse" => match function.invoke(&id, &trace_id, body).await {
            Ok(answer) => respond(200, &[], answer),
            Err(failure) => {
                let message = match failure {
                    InvocationFailure::Reported(error) => error,
                    other => json!({ "errorMessage": format!("{other:?}") }).to_string(),
                };
                respond(200, &[("x-amz-function-error", "Unhandled")], message.into())
            }
        },
        "DryRun" => respond(204, &[], Bytes::new()),
        _ => error(400, "InvalidParameterValueException", "The invocation type is unknown."),
    }
}

fn error(status: u16, code: &'static str, message: &str) -> Response<Body> {
    let body = json!({ "Type": "User", "Message": message }).to_string();
    respond(status, &[("x-amzn-errortype", code)], body.into())
}

fn respond(status: u16, headers: &[(&'static str, &str)], body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let id = Uuid::new_v4().to_string();
    let common = [("content-type", "application/json"), ("x-amzn-requestid", &id)];
    for (name, value) in common.iter().chain(headers) {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}
