//! The client against a server on the loopback interface.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use reqwest::header::HeaderValue;

use super::*;
use crate::platform::http_client::{Deadline, HttpClient};

const TEXT: &str = "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\"}\n\n";
const END: &str = "data: {\"type\":\"response.completed\",\"response\":{}}\n\n";

/// Starts a server that answers one connection after another with these bytes and closes it.
/// Returns its URL and the requests that it received.
fn server(answers: Vec<String>) -> (String, mpsc::Receiver<String>) {
    let (requests, received) = mpsc::channel();
    let url = serve(answers, move |mut connection, answer| {
        requests.send(read_request(&mut connection)).unwrap();
        connection.write_all(answer.as_bytes()).unwrap();
        let _ = connection.shutdown(Shutdown::Both);
    });
    (url, received)
}

fn serve(answers: Vec<String>, mut answer: impl FnMut(TcpStream, String) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for text in answers {
            let (connection, _) = listener.accept().unwrap();
            answer(connection, text);
        }
    });
    url
}

fn read_request(connection: &mut TcpStream) -> String {
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = connection.read(&mut buffer).unwrap();
        request.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&request).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase();
        let length = length.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.unwrap().parse().unwrap() {
            return text;
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nconnection: close\r\nx-request-id: req_7\r\n{headers}\r\n\r\n{body}")
}

fn stream(body: &str) -> String {
    answer("200 OK", "content-type: text/event-stream; charset=utf-8", body)
}

fn client(url: &str) -> ModelClient {
    ModelClient::new(HttpClient::new().unwrap(), &url.parse().unwrap(), api_key("sk-test1").into()).unwrap()
}

fn api_key(key: &str) -> HeaderValue {
    parse_api_key(key).unwrap()
}

fn request() -> ModelRequest {
    ModelRequest {
        model: "m1".to_owned(),
        instructions: None,
        input: Vec::new(),
        tools: Vec::new(),
        reasoning: None,
        max_output_tokens: None,
        safety_identifier: None,
    }
}

async fn open(url: &str) -> Result<ModelStream, ModelError> {
    client(url).stream(&request(), Deadline::after(Duration::from_secs(10))).await
}

async fn read_all(stream: &mut ModelStream) -> Result<usize, ModelCause> {
    let mut count = 0;
    while let Some(_event) = stream.next().await.map_err(|error| error.cause)? {
        count += 1;
    }
    Ok(count)
}

#[tokio::test]
async fn stream_is_read_to_its_last_event() {
    let (url, requests) = server(vec![stream(&[TEXT, TEXT, END, TEXT].concat())]);
    let mut stream = open(&url).await.unwrap();
    assert_eq!(stream.request_id().as_deref(), Some("req_7"));
    assert_eq!(read_all(&mut stream).await, Ok(3));
    assert!(matches!(stream.next().await, Ok(None)));
    let request = requests.recv().unwrap();
    assert!(request.starts_with("POST /v1/responses HTTP/1.1\r\n"), "{request}");
    for header in ["authorization: Bearer sk-test1", "accept: text/event-stream", "accept-encoding: identity"]
    {
        assert!(request.contains(header), "{header} is missing in {request}");
    }
    assert!(request.contains("\"store\":false") && request.contains("\"stream\":true"), "{request}");
}

#[tokio::test]
async fn stream_without_a_last_event_is_cut() {
    for body in ["", TEXT, &[TEXT, "data: {\"type\":\"response.comp"].concat(), "data: [DONE]\n\n"] {
        let (url, _requests) = server(vec![stream(body)]);
        let mut stream = open(&url).await.unwrap();
        assert_eq!(read_all(&mut stream).await, Err(ModelCause::Cut), "{body:?}");
    }
}

#[tokio::test]
async fn connection_that_breaks_in_a_stream_is_cut() {
    let head = stream("").replace("connection: close", "content-length: 5000");
    let (url, _requests) = server(vec![head + TEXT]);
    let mut stream = open(&url).await.unwrap();
    assert_eq!(read_all(&mut stream).await, Err(ModelCause::Cut));
}

#[tokio::test]
async fn success_that_is_not_an_event_stream_is_rejected() {
    for content_type in ["text/html", "application/json", "text/event-stream-x"] {
        let headers = format!("content-type: {content_type}");
        let (url, _requests) = server(vec![answer("200 OK", &headers, "<html>Sign in</html>")]);
        let error = open(&url).await.unwrap_err();
        assert_eq!(error.cause, ModelCause::NotEventStream, "{content_type}");
        assert_eq!(error.request_id.as_deref(), Some("req_7"));
    }
}

#[tokio::test]
async fn passing_errors_are_retried_before_the_stream() {
    let limited = answer("429 Too Many Requests", "retry-after-ms: 200", "{}");
    let down = answer("503 Service Unavailable", "retry-after-ms: 1", "<html>");
    let (url, requests) = server(vec![limited, down, stream(END)]);
    let begun = Instant::now();
    let mut stream = open(&url).await.unwrap();
    assert_eq!(read_all(&mut stream).await, Ok(1));
    assert_eq!(requests.try_iter().count(), 3);
    assert!(begun.elapsed() >= Duration::from_millis(200), "Retry-After is obeyed");
}

#[tokio::test]
async fn errors_that_stay_are_not_retried() {
    let error = |status: &str, code: &str| {
        let body = format!("{{\"error\":{{\"message\":\"sk-secret\",\"code\":\"{code}\"}}}}");
        answer(status, "content-type: application/json", &body)
    };
    for (answer, cause, status) in [
        (error("401 Unauthorized", "invalid_api_key"), ModelCause::KeyRejected, 401),
        (error("429 Too Many Requests", "insufficient_quota"), ModelCause::QuotaExhausted, 429),
        (error("400 Bad Request", "context_length_exceeded"), ModelCause::InputTooLong, 400),
        (error("404 Not Found", "model_not_found"), ModelCause::ModelNotFound, 404),
    ] {
        let (url, requests) = server(vec![answer, stream(END)]);
        let error = open(&url).await.unwrap_err();
        assert_eq!((error.cause, error.status), (cause, Some(status)));
        assert_eq!(error.request_id.as_deref(), Some("req_7"));
        assert_eq!(requests.try_iter().count(), 1);
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        let code = crate::error::Error::from(error).code;
        assert!(code.as_str().starts_with("model_"), "{code:?}");
    }
}

#[tokio::test]
async fn request_that_asks_for_a_longer_wait_than_a_user_has_fails_with_that_wait() {
    let (url, requests) = server(vec![answer("429 Too Many Requests", "retry-after: 60", "{}"), stream(END)]);
    let error = open(&url).await.unwrap_err();
    assert_eq!((error.cause, error.retry_after), (ModelCause::RateLimited, Some(Duration::from_secs(60))));
    assert_eq!(requests.try_iter().count(), 1);
}

#[tokio::test]
async fn unreachable_server_is_reported() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    assert_eq!(open(&url).await.unwrap_err().cause, ModelCause::Unavailable);
}

#[tokio::test]
async fn deadline_ends_a_stream_and_closes_the_connection() {
    let (closed, is_closed) = mpsc::channel();
    let url = serve(vec![stream(TEXT)], move |mut connection, answer| {
        read_request(&mut connection);
        connection.write_all(answer.as_bytes()).unwrap();
        // Blocks until the client closes the connection.
        let count = connection.read(&mut [0; 16]).unwrap_or(0);
        closed.send(count).unwrap();
    });
    let deadline = Deadline::after(Duration::from_millis(300));
    let mut stream = client(&url).stream(&request(), deadline).await.unwrap();
    let begun = Instant::now();
    assert_eq!(read_all(&mut stream).await, Err(ModelCause::TimedOut));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(stream);
    // The connection is closed by a task of the runtime, so this must not block it.
    let closed = tokio::task::spawn_blocking(move || is_closed.recv_timeout(Duration::from_secs(5)));
    assert_eq!(closed.await.unwrap(), Ok(0));
}

#[tokio::test]
async fn event_is_not_lost_if_its_future_is_dropped() {
    let (go, wait) = mpsc::channel::<()>();
    let url = serve(vec![stream("")], move |mut connection, answer| {
        read_request(&mut connection);
        let (first, second) = TEXT.split_at(TEXT.len() / 2);
        connection.write_all([&answer, first].concat().as_bytes()).unwrap();
        wait.recv().unwrap();
        connection.write_all([second, END].concat().as_bytes()).unwrap();
    });
    let mut stream = open(&url).await.unwrap();
    for _ in 0..3 {
        let next = tokio::time::timeout(Duration::from_millis(20), stream.next()).await;
        assert!(next.is_err(), "half an event has arrived");
    }
    go.send(()).unwrap();
    assert_eq!(read_all(&mut stream).await, Ok(2));
}

#[test]
fn key_is_a_bearer_token_except_at_azure() {
    let headers = |url: &str| {
        let debug = format!("{:?}", client(url).headers(&api_key("sk-test1")));
        assert!(!debug.contains("sk-test"), "{debug}");
        (debug.contains("authorization"), debug.contains("api-key"))
    };
    assert_eq!(headers("https://api.openai.com/v1"), (true, false));
    assert_eq!(headers("https://books.openai.azure.com/openai/v1"), (false, true));
    assert_eq!(headers("https://openai.azure.com.example/v1"), (true, false));
}
