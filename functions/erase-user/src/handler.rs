//! Erases a user on an operator's request. Repeating the request resumes the erasure, or returns
//! the finished record.

use shared::{
    clients::{openai::ChatKit, supabase::ServiceClient},
    error::Error,
    jobs::erasure::{self, Erasure, ErasureRequest},
    platform::http_client::Deadline,
    runtime::{AdminTask, Dependencies, Reported},
};

/// Admin task that erases a user.
pub struct EraseUser {
    service_client: ServiceClient,
    chatkit: Option<ChatKit>,
}

impl AdminTask for EraseUser {
    type Input = ErasureRequest;
    type Report = Erasure;

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let service_client = dependencies.service_client();
        let chatkit = dependencies.chatkit();
        Ok(Self { service_client: service_client?, chatkit: chatkit? })
    }

    async fn run(&self, input: ErasureRequest, deadline: Deadline) -> Result<Erasure, Error> {
        erasure::erase(&input, &self.service_client, self.chatkit.as_ref(), deadline).await
    }
}
