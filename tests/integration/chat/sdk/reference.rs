//! The reference server and ours behind one interface.

use anyhow::{Result, bail};
use local_stack::chat_client::ChatClient;
use local_stack::model::{FakeModel, MODEL};
use serde_json::{Value, json};

use super::exchange::Exchange;
use super::python::Python;

/// The answer to a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    Stream(Vec<Value>),
    Json(Value),
    /// A problem response, or an exception of the reference.
    Refused(String),
}

/// A server of the protocol.
pub enum Server {
    Ours(ChatClient),
    Reference(Box<Python>),
}

impl Server {
    /// Starts the reference server, which asks this model.
    pub async fn start_reference(model: &FakeModel) -> Result<Self> {
        let settings = json!({
            "base_url": model.base_url(),
            "api_key": model.api_key(),
            "model": MODEL,
            "instructions": "You pay invoices.",
        });
        Ok(Self::Reference(Box::new(Python::start("chatkit_reference.py", Some(settings)).await?)))
    }

    /// Sends a request and returns its whole answer.
    pub async fn send(&mut self, kind: &str, params: &Value) -> Result<Reply> {
        let body = json!({ "type": kind, "params": params });
        match self {
            Self::Ours(chat) => {
                let exchange = Exchange::send_body(chat, &body).await?;
                match exchange.status {
                    200 if exchange.is_streamed => Ok(Reply::Stream(exchange.events()?)),
                    200 => Ok(Reply::Json(exchange.json()?)),
                    _ => Ok(Reply::Refused(exchange.problem()?)),
                }
            }
            Self::Reference(python) => {
                let answer = python.request(&body.to_string().into()).await?;
                let stream = answer["stream"].as_str().unwrap_or_default();
                match (&answer["json"], &answer["raised"]) {
                    (Value::String(json), _) => Ok(Reply::Json(serde_json::from_str(json)?)),
                    (_, Value::String(class)) if stream.is_empty() => Ok(Reply::Refused(class.clone())),
                    (_, Value::Null) => {
                        let frames = stream.split_terminator("\n\n");
                        let events =
                            frames.map(|frame| serde_json::from_str(frame.trim_start_matches("data: ")));
                        Ok(Reply::Stream(events.collect::<Result<_, _>>()?))
                    }
                    _ => bail!("the reference broke off: {answer}"),
                }
            }
        }
    }
}
