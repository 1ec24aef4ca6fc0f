//! Reads a session as the caller, with the threads of a self-hosted session. Reads those of a
//! hosted session from OpenAI.

use serde::{Deserialize, Serialize};
use shared::{
    auth::DecisionRules,
    clients::{openai::ChatKit, supabase::UserClient},
    domain::{
        escalations::Escalation,
        events::{Event, Task},
        sessions::{self, Include, Provider, Session, Threads},
    },
    error::Error,
    http::{Request, Response, Route},
    runtime::{Dependencies, Endpoint, Reported},
};

/// Handler of `GET /chatkit/sessions/{id}`. Needs no secret key of Supabase.
pub struct GetSession {
    user_client: UserClient,
    chatkit: Option<ChatKit>,
    rules: DecisionRules,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Query {
    include: Option<Include>,
}

#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    session: Session,
    chatkit: Option<Threads>,
    events: Vec<Event>,
    tasks: Vec<Task>,
    escalations: Vec<Escalation>,
    cut: Vec<String>,
}

impl Endpoint for GetSession {
    const ROUTE: Route = Route::get("/chatkit/sessions/{id}");

    fn new(dependencies: &mut Dependencies) -> Result<Self, Reported> {
        let user_client = dependencies.user_client();
        let chatkit = dependencies.chatkit();
        let rules = dependencies.decision_rules();
        Ok(Self { user_client: user_client?, chatkit: chatkit?, rules: rules? })
    }

    async fn handle(&self, request: Request) -> Result<Response, Error> {
        let id = request.id()?;
        let context = &request.context;
        let Query { include } = request.query()?;
        let with_threads = include != Some(Include::Nothing);
        let summary = sessions::find(&self.user_client, context, id).await?;
        let is_self_hosted = summary.provider == Provider::SelfHosted;
        let asked = self.chatkit.as_ref().filter(|_| with_threads && !is_self_hosted);
        let threads = async {
            let Some(chatkit) = asked else { return Ok(None) };
            let limit = sessions::consume_thread_read_limit(&self.user_client, context).await?;
            Ok(Some((
                chatkit,
                limit,
                sessions::newest_threads(chatkit, context, summary.chatkit_user()).await,
            )))
        };
        // The row contains the user's name at ChatKit, so both reads can run concurrently from
        // here.
        let details = sessions::details(&self.user_client, context, summary.session.id);
        let (mut details, threads) = tokio::try_join!(details, threads)?;
        let (chatkit, limit) = match threads {
            Some((chatkit, limit, newest)) => {
                (Some(newest.with_linked(chatkit, &details.thread_ids).await), Some(limit))
            }
            None => {
                let threads = (with_threads && is_self_hosted).then_some(details.threads);
                (threads.map(Threads::of_self_hosted), None)
            }
        };
        if chatkit.as_ref().is_some_and(|threads| threads.is_cut) {
            details.cut.push("threads".to_owned());
        }
        for escalation in &mut details.escalations {
            escalation.may_decide.restrict(&self.rules, &context.caller.assurance);
        }
        let answer = Response::ok(&Body {
            session: summary.session,
            chatkit,
            events: details.events,
            tasks: details.tasks,
            escalations: details.escalations,
            cut: details.cut,
        })?;
        Ok(request.conditional(answer).with_rate_limit(limit))
    }
}
