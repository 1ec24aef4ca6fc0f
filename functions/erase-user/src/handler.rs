//! One order: whoever gives it again gets on with it, or reads what came of it.

use std::time::Duration;

use shared::{
    clients::{openai::ChatKit, supabase::Writer},
    error::Error,
    jobs::erasure::{self, Erasure, Order},
    platform::http_client::Deadline,
    runtime::{Operated, Setup},
};

/// What is kept back for the last step to end.
const RESERVE: Duration = Duration::from_secs(10);

/// Erases a person.
pub struct EraseUser {
    writer: Writer,
    chatkit: Option<ChatKit>,
}

impl Operated for EraseUser {
    type Order = Order;
    type Report = Erasure;

    fn new(setup: &mut Setup) -> Option<Self> {
        let (writer, chatkit) = (setup.writer(), setup.chatkit());
        Some(Self { writer: writer?, chatkit: chatkit? })
    }

    async fn run(&self, order: Order, deadline: Deadline) -> Result<Erasure, Error> {
        let begun = erasure::begin(&self.writer, &order, deadline).await?;
        let until = deadline.leaving(RESERVE);
        erasure::carry_out(begun, &self.writer, self.chatkit.as_ref(), deadline, until).await
    }
}
