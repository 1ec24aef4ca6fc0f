//! Streams whatever the path of a request names, past the Lambda runtime, which cannot send an
//! invalid response. The tests of the local stack use it.

use std::io::{BufRead, BufReader, Read, Result, Write};
use std::net::TcpStream;
use std::time::Duration;

const PRELUDE: &str = "{\"statusCode\":200,\"headers\":{\"content-type\":\"text/plain\"}}\0\0\0\0\0\0\0\0";

fn main() -> Result<()> {
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap_or_default();
    loop {
        let mut next = TcpStream::connect(&address)?;
        write!(next, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
        let (id, event) = read_event(next)?;
        let name = event.split("\"rawPath\":\"/").nth(1).and_then(|rest| rest.split('"').next());
        let mut response = TcpStream::connect(&address)?;
        let status = respond(&mut response, &address, &id, name.unwrap_or_default())?;
        println!("the runtime API answered {status}");
    }
}

/// Reads the response of the Runtime API: the id of the event, and the event.
fn read_event(connection: TcpStream) -> Result<(String, String)> {
    let mut reader = BufReader::new(connection);
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some(("lambda-runtime-aws-request-id", value)) => id = value.to_owned(),
            Some(("content-length", value)) => length = value.parse().unwrap_or_default(),
            Some(_) => {}
            None if line.trim_end().is_empty() => break,
            None => {}
        }
    }
    let mut event = vec![0; length];
    reader.read_exact(&mut event)?;
    Ok((id, String::from_utf8_lossy(&event).into_owned()))
}

/// Sends the response that a test names, and returns the status of the Runtime API.
fn respond(connection: &mut TcpStream, address: &str, id: &str, name: &str) -> Result<String> {
    let mode = if name == "unknown-mode" { "trickling" } else { "streaming" };
    write!(
        connection,
        "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nhost: {address}\r\n\
         lambda-runtime-function-response-mode: {mode}\r\n"
    )?;
    if name == "not-chunked" {
        write!(connection, "content-length: {}\r\n\r\n{PRELUDE}", PRELUDE.len())?;
        return read_status(connection);
    }
    write!(connection, "transfer-encoding: chunked\r\ntrailer: lambda-runtime-function-error-type\r\n\r\n")?;
    let mut trailers = "";
    match name {
        "no-prelude" => chunk(connection, b"data: 1\n\n")?,
        "invalid-prelude" => chunk(connection, b"status 200\0\0\0\0\0\0\0\0")?,
        "trailers" => {
            chunk(connection, PRELUDE.as_bytes())?;
            chunk(connection, b"a part")?;
            // Time for the front end to send the part before it cuts the connection.
            std::thread::sleep(Duration::from_millis(200));
            // Base64 of "the cause".
            trailers = "lambda-runtime-function-error-type: Runtime.StreamError\r\n\
                        lambda-runtime-function-error-body: dGhlIGNhdXNl\r\n";
        }
        "too-large" => {
            chunk(connection, PRELUDE.as_bytes())?;
            let megabyte = vec![b'x'; 1024 * 1024];
            // The Runtime API may close the connection at the limit.
            for _ in 0..201 {
                if chunk(connection, &megabyte).is_err() {
                    break;
                }
            }
        }
        _ => {
            chunk(connection, PRELUDE.as_bytes())?;
            chunk(connection, b"whole")?;
        }
    }
    let _ = write!(connection, "0\r\n{trailers}\r\n");
    read_status(connection)
}

fn chunk(connection: &mut TcpStream, bytes: &[u8]) -> Result<()> {
    write!(connection, "{:x}\r\n", bytes.len())?;
    connection.write_all(bytes)?;
    connection.write_all(b"\r\n")
}

fn read_status(connection: &mut TcpStream) -> Result<String> {
    let mut line = String::new();
    BufReader::new(connection).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}
