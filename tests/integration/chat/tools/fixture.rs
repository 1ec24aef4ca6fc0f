//! A page that chats with an agent whose model calls a tool.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use local_stack::LocalStack;
use local_stack::agents::{Agent, TOOL};
use local_stack::chat_client::ThreadView;
use local_stack::model::Script;
use local_stack::supabase::OrgRole;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::chat::fixture::{ChatPage, register_agent, text};
use crate::support::client::{AGENT, TestClient};

/// Longer than any step takes.
const TIMEOUT: Duration = Duration::from_secs(30);

pub struct ToolPage<'s> {
    pub stack: &'s LocalStack,
    pub page: ChatPage,
    pub org_id: Uuid,
}

impl<'s> ToolPage<'s> {
    /// A member of a new organisation whose agent has a tool with these fields.
    pub async fn open(stack: &'s LocalStack, fields: Value) -> Result<Self> {
        Self::open_in(stack, Uuid::new_v4(), json!({}), fields).await
    }

    /// The same in this organisation, with changes of its agent.
    pub async fn open_in(stack: &'s LocalStack, org_id: Uuid, agent: Value, fields: Value) -> Result<Self> {
        Self::open_registered(stack, org_id, agent, Some(fields)).await
    }

    /// A member of a new organisation whose agent has no server and is registered with these
    /// arguments.
    pub async fn open_agent(stack: &'s LocalStack, arguments: Value) -> Result<Self> {
        Self::open_registered(stack, Uuid::new_v4(), arguments, None).await
    }

    async fn open_registered(
        stack: &'s LocalStack,
        org_id: Uuid,
        agent: Value,
        tool: Option<Value>,
    ) -> Result<Self> {
        // The tests run the dispatcher themselves.
        stack.webhook().inspect(|webhook| webhook.set_disconnected(true));
        register_agent(stack, org_id, agent).await?;
        if let Some(fields) = tool {
            register_tool(stack, org_id, fields).await?;
        }
        let user = TestClient::in_organisation(stack, org_id, OrgRole::Member).await?;
        Ok(Self { stack, page: ChatPage::of_user(stack, user).await?, org_id })
    }

    pub fn agent(&self) -> &'s Agent {
        self.stack.agents().agent(AGENT).expect("an agent of the stack")
    }

    pub async fn approver(&self) -> Result<TestClient> {
        TestClient::in_organisation(self.stack, self.org_id, OrgRole::Approver).await
    }

    /// Asks a question in a new thread, and reads the answer to its end.
    pub async fn ask(&self, question: &str) -> Result<ThreadView> {
        ThreadView::from_events(&self.page.chat.create_thread(question).await?.finish().await?)
    }

    /// Asks another question, which the model answers with a text. Returns the model's input.
    pub async fn ask_more(&self, view: &ThreadView, question: &str) -> Result<Vec<Value>> {
        self.stack.model().script(Script::new().text("I see."));
        let thread_id = text(&view.thread["id"]);
        let events = self.page.chat.add_message(&thread_id, question).await?.finish().await?;
        let answered = ThreadView::from_events(&events)?;
        ensure!(answered.errors.is_empty(), "{events:#?}");
        self.last_input()
    }

    /// The input of the model's last request.
    pub fn last_input(&self) -> Result<Vec<Value>> {
        let requests = self.stack.model().requests();
        let last = requests.last().context("the model was not asked")?;
        last.body["input"].as_array().cloned().context("no input")
    }

    /// The deliveries of the organisation as `tool status error`, in their order.
    pub async fn deliveries(&self) -> Result<Vec<String>> {
        let query =
            "select concat_ws(' ', status, error) from public.deliveries where org_id = $1 order by seq";
        Ok(sqlx::query_scalar(query).bind(self.org_id).fetch_all(self.stack.database()).await?)
    }

    pub async fn count(&self, query: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(query).fetch_one(self.stack.database()).await?)
    }

    pub async fn execute(&self, statement: &'static str) -> Result<()> {
        sqlx::query(statement).execute(self.stack.database()).await?;
        Ok(())
    }

    /// The only open escalation, as the approver reads it.
    pub async fn escalation(&self, approver: &TestClient) -> Result<Value> {
        let body = approver.get("/chatkit/escalations").await?.expect(200)?;
        let open = body["escalations"].as_array().context("no escalations")?;
        ensure!(open.len() == 1, "expected one open escalation: {open:#?}");
        Ok(open[0].clone())
    }
}

/// Registers the agent's tool. Without fields, it is called at once.
pub async fn register_tool(stack: &LocalStack, org_id: Uuid, fields: Value) -> Result<()> {
    let mut tool = json!({
        "policy": "auto", "risk": "low", "approver": "self", "amount_pointer": "/amount",
        "description": "Pays an invoice.",
        "input_schema": {
            "type": "object", "required": ["invoice"],
            "properties": { "invoice": { "type": "integer" }, "amount": { "type": "number" } },
        },
    });
    tool.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    stack.register_agent_tool(org_id, AGENT, tool).await?;
    Ok(())
}

/// A response that requests a payment.
pub fn pay(invoice: u32, amount: u32) -> Script {
    Script::new().function_call(TOOL, &json!({ "invoice": invoice, "amount": amount }))
}

/// The output of the only call in an input.
pub fn output(input: &[Value]) -> Result<String> {
    let outputs: Vec<_> = input.iter().filter(|item| item["type"] == "function_call_output").collect();
    ensure!(outputs.len() == 1, "expected one output: {input:#?}");
    Ok(text(&outputs[0]["output"]))
}

/// The texts of a view's tool calls: what each task says.
pub fn tasks(view: &ThreadView) -> Vec<String> {
    let tasks = view.items().iter().filter(|item| item["type"] == "task");
    tasks.map(|item| text(&item["task"]["content"])).collect()
}

/// All texts of an input.
pub fn texts(input: &[Value]) -> String {
    json!(input).to_string()
}

pub async fn until(is_met: impl Fn() -> bool) -> Result<()> {
    let deadline = Instant::now() + TIMEOUT;
    while !is_met() {
        ensure!(Instant::now() < deadline, "the condition is not met");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}
