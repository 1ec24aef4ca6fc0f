//! Watches a stack for its secrets: in what functions write and answer, and in every column of every table.

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::support::client::{TestClient, TestResponse};

/// A text that must not be seen.
struct Canary {
    name: String,
    /// The whole and parts of it: what is cut or lacks its prefix is no less a secret.
    signs: Vec<String>,
    /// The beginning of the only cells in which it belongs.
    belongs: Option<&'static str>,
}

/// What must not be seen, and what was answered.
#[derive(Default)]
pub struct Watch {
    canaries: Vec<Canary>,
    answers: Vec<String>,
}

/// How long a part is that no chance makes.
const PART: usize = 16;

impl Watch {
    /// Knows the secrets in the functions' configuration.
    pub fn new(stack: &LocalStack) -> Self {
        let mut watch = Self::default();
        let environment = stack.environment().whole();
        for name in ["OPENAI_CHATKIT_SECRET", "SUPABASE_SECRET_KEY", "SUPABASE_JWT_SECRET"] {
            environment.get(name).into_iter().for_each(|value| watch.add(name, value));
        }
        let sealing_keys = environment.get("CHATKIT_SEALING_KEYS").map(String::as_str).unwrap_or_default();
        for (id, key) in sealing_keys.split(',').filter_map(|entry| entry.split_once(':')) {
            watch.add(&format!("the sealing key {id}"), key);
        }
        watch
    }

    /// One more secret.
    pub fn add(&mut self, name: &str, secret: &str) {
        self.canaries.push(Canary { name: name.to_owned(), signs: signs(secret), belongs: None });
    }

    /// What a client sends a request under. The database has to know it; nobody else does.
    pub fn add_key(&mut self, key: &str) {
        let belongs = Some("public.idempotency_keys.key: ");
        self.canaries.push(Canary { name: "an idempotency key".to_owned(), signs: signs(key), belongs });
    }

    /// How many secrets are known.
    pub fn known(&self) -> usize {
        self.canaries.len()
    }

    /// Sends a request and keeps what comes back, less the client secret in the one place where it belongs.
    pub async fn send(
        &mut self,
        caller: &TestClient,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<TestResponse> {
        self.send_with(caller, method, path, &[], body).await
    }

    /// The same with these headers.
    pub async fn send_with(
        &mut self,
        caller: &TestClient,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<TestResponse> {
        self.add("a user's token", &caller.token);
        let reply = caller.send(method, path, headers, body).await?;
        let mut shown = reply.clone();
        if let Some(secret) = shown.body.pointer_mut("/chatkit/clientSecret")
            && let Value::String(text) = secret.take()
        {
            self.add("a client secret", &text);
        }
        self.keep(&shown);
        Ok(reply)
    }

    /// Keeps an answer that came another way.
    pub fn keep(&mut self, reply: &TestResponse) {
        self.answers.push(format!("{:?}\n{}", reply.headers, reply.body));
    }

    /// Keeps what else came out of a function.
    pub fn keep_text(&mut self, text: String) {
        self.answers.push(text);
    }

    /// Which secret stands in a text, and where.
    fn seen_in(&self, text: &str) -> Option<(&str, usize)> {
        let at = |canary: &Canary| {
            let belongs = canary.belongs.is_some_and(|cell| text.starts_with(cell));
            let found = canary.signs.iter().filter_map(|sign| text.find(sign.as_str())).min();
            found.filter(|_| !belongs)
        };
        self.canaries.iter().find_map(|canary| Some((canary.name.as_str(), at(canary)?)))
    }

    /// Looks everywhere.
    pub async fn look(&self, stack: &LocalStack) -> Result<Seen> {
        let mut seen = Seen::default();
        for cell in cells(stack).await? {
            seen.looked.0 += 1;
            seen.note("the table", &cell, self.seen_in(&cell));
        }
        for answer in &self.answers {
            seen.looked.1 += 1;
            seen.note("the answer", answer, self.seen_in(answer));
        }
        for line in stack.final_logs().await {
            seen.looked.2 += 1;
            seen.note("the log", &line, self.seen_in(&line));
        }
        Ok(seen)
    }
}

/// What a secret is recognised by.
fn signs(secret: &str) -> Vec<String> {
    let middle = (secret.len().saturating_sub(PART)) / 2;
    let parts = [0, middle + PART / 2, secret.len().saturating_sub(PART)].map(|at| secret.get(at..at + PART));
    // A token begins as others do, and every key of a kind has its prefix.
    let mut signs: Vec<String> = parts.into_iter().skip(1).flatten().map(str::to_owned).collect();
    signs.push(secret.to_owned());
    signs
}

/// What was found.
#[derive(Debug, Default)]
pub struct Seen {
    pub places: Vec<String>,
    /// Cells of tables, answers and lines.
    pub looked: (usize, usize, usize),
}

impl Seen {
    fn note(&mut self, place: &str, text: &str, seen: Option<(&str, usize)>) {
        // What stands before it says where it is; the secret itself need not be shown again.
        let before =
            |at: usize| text.char_indices().filter(move |(i, _)| (at.saturating_sub(150)..at).contains(i));
        let found = seen.map(|(name, at)| {
            format!("{name} in {place}: …{}", before(at).map(|(_, char)| char).collect::<String>())
        });
        self.places.extend(found);
    }

    /// Nothing was found, though there was something to look into.
    pub fn nothing(self) -> Result<()> {
        let Self { places, looked: (cells, answers, lines) } = self;
        let some = places.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
        ensure!(places.is_empty(), "{} times, such as\n{some}", places.len());
        ensure!(
            cells > 15 && answers > 3 && lines > 5,
            "only {cells} cells, {answers} answers, {lines} lines"
        );
        Ok(())
    }
}

/// Every cell of every column of every table, as text, under its name.
async fn cells(stack: &LocalStack) -> Result<Vec<String>> {
    let columns = "select format('%I.%I', table_schema, table_name)::text, quote_ident(column_name)::text
        from information_schema.columns join information_schema.tables using (table_schema, table_name)
        where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')";
    let columns: Vec<(String, String)> = sqlx::query_as(columns).fetch_all(stack.database()).await?;
    let mut cells = Vec::new();
    for (table, column) in columns {
        let statement =
            format!("select '{table}.{column}: ' || {column}::text from {table} where {column} is not null");
        let found: Vec<String> =
            sqlx::query_scalar(AssertSqlSafe(statement)).fetch_all(stack.database()).await?;
        cells.extend(found);
    }
    Ok(cells)
}
