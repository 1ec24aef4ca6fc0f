//! Searches everything that a stack returns, logs and stores for secrets.

use anyhow::{Result, ensure};
use http_client::Method;
use local_stack::LocalStack;
use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::support::client::{TestClient, TestResponse};

/// The secrets of a stack, and the responses to search.
#[derive(Default)]
pub struct LeakDetector {
    secrets: Vec<Secret>,
    responses: Vec<String>,
}

struct Secret {
    name: String,
    /// The secret and parts of it: a truncated secret is a leak, too.
    fragments: Vec<String>,
    /// The beginning of the only cells that may contain it.
    permitted_cell: Option<&'static str>,
}

/// Long enough that a fragment does not occur by chance.
const FRAGMENT_LENGTH: usize = 16;

impl LeakDetector {
    /// Knows the secrets in the environment of the functions.
    pub fn new(stack: &LocalStack) -> Self {
        let mut detector = Self::default();
        let environment = stack.environment().all_variables();
        for name in ["OPENAI_CHATKIT_SECRET", "SUPABASE_SECRET_KEY", "SUPABASE_JWT_SECRET"] {
            environment.get(name).into_iter().for_each(|value| detector.add(name, value));
        }
        let sealing_keys = environment.get("CHATKIT_SEALING_KEYS").map(String::as_str).unwrap_or_default();
        for (id, key) in sealing_keys.split(',').filter_map(|entry| entry.split_once(':')) {
            detector.add(&format!("the sealing key {id}"), key);
        }
        detector
    }

    pub fn secret_count(&self) -> usize {
        self.secrets.len()
    }

    pub fn add(&mut self, name: &str, secret: &str) {
        let fragments = fragments(secret);
        self.secrets.push(Secret { name: name.to_owned(), fragments, permitted_cell: None });
    }

    /// An idempotency key may be in its own column only.
    pub fn add_idempotency_key(&mut self, key: &str) {
        let permitted_cell = Some("public.idempotency_keys.key: ");
        let name = "an idempotency key".to_owned();
        self.secrets.push(Secret { name, fragments: fragments(key), permitted_cell });
    }

    /// Sends a request and records the response without its client secret.
    pub async fn send(
        &mut self,
        caller: &TestClient,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<TestResponse> {
        self.send_with_headers(caller, method, path, &[], body).await
    }

    /// The same as [`Self::send`], with a new idempotency key.
    pub async fn send_with_key(
        &mut self,
        caller: &TestClient,
        path: &str,
        body: Option<Value>,
    ) -> Result<TestResponse> {
        let key = format!("key_{}", Uuid::new_v4().simple());
        self.add_idempotency_key(&key);
        self.send_with_headers(caller, Method::POST, path, &[("idempotency-key", &key)], body).await
    }

    pub async fn send_with_headers(
        &mut self,
        caller: &TestClient,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<TestResponse> {
        self.add("a user's token", &caller.token);
        let response = caller.send(method, path, headers, body).await?;
        let mut recorded = response.clone();
        if let Some(secret) = recorded.body.pointer_mut("/chatkit/clientSecret")
            && let Value::String(text) = secret.take()
        {
            self.add("a client secret", &text);
        }
        self.record_response(&recorded);
        Ok(response)
    }

    /// Records a response to a request that the detector did not send.
    pub fn record_response(&mut self, response: &TestResponse) {
        self.responses.push(format!("{:?}\n{}", response.headers, response.body));
    }

    /// Records the output of a run.
    pub fn record_text(&mut self, text: String) {
        self.responses.push(text);
    }

    /// Ends the functions, and searches the database, the responses and the log.
    pub async fn search(&self, stack: &LocalStack) -> Result<SearchResult> {
        let mut result = SearchResult::default();
        for cell in cells(stack).await? {
            result.cells += 1;
            result.add("the table", &cell, self.find_in(&cell));
        }
        for response in &self.responses {
            result.responses += 1;
            result.add("the response", response, self.find_in(response));
        }
        for line in stack.final_logs().await {
            result.lines += 1;
            result.add("the log", &line, self.find_in(&line));
        }
        Ok(result)
    }

    /// The name and position of the first secret that a text contains.
    fn find_in(&self, text: &str) -> Option<(&str, usize)> {
        self.secrets.iter().find_map(|secret| {
            let is_permitted = secret.permitted_cell.is_some_and(|cell| text.starts_with(cell));
            let position = secret.fragments.iter().filter_map(|part| text.find(part.as_str())).min();
            Some((secret.name.as_str(), position.filter(|_| !is_permitted)?))
        })
    }
}

/// A token begins like other tokens, and a key with the prefix of its kind, so the beginning alone
/// does not identify a secret.
fn fragments(secret: &str) -> Vec<String> {
    let last = secret.len().saturating_sub(FRAGMENT_LENGTH);
    let middle = last / 2 + FRAGMENT_LENGTH / 2;
    let parts = [middle, last].map(|start| secret.get(start..start + FRAGMENT_LENGTH));
    let mut fragments: Vec<String> = parts.into_iter().flatten().map(str::to_owned).collect();
    fragments.push(secret.to_owned());
    fragments
}

#[derive(Debug, Default)]
pub struct SearchResult {
    /// The name of each secret that was found, the place, and the text before it.
    pub leaks: Vec<String>,
    cells: usize,
    responses: usize,
    lines: usize,
}

impl SearchResult {
    fn add(&mut self, place: &str, text: &str, found: Option<(&str, usize)>) {
        // The text before the secret identifies the place. The message does not repeat the secret.
        let before = |position: usize| {
            let range = position.saturating_sub(150)..position;
            text.char_indices().filter(move |(index, _)| range.contains(index)).map(|(_, char)| char)
        };
        let leak = found
            .map(|(name, position)| format!("{name} in {place}: …{}", before(position).collect::<String>()));
        self.leaks.extend(leak);
    }

    /// Fails on a leak, and if there was too little to search.
    pub fn expect_no_leaks(self) -> Result<()> {
        let Self { leaks, cells, responses, lines } = self;
        let first = leaks.iter().take(20).map(String::as_str).collect::<Vec<_>>().join("\n");
        ensure!(leaks.is_empty(), "{} leaks, the first ones:\n{first}", leaks.len());
        ensure!(
            cells > 15 && responses > 3 && lines > 5,
            "searched only {cells} cells, {responses} responses and {lines} lines"
        );
        Ok(())
    }
}

/// Every cell of every table that is not null, as `schema.table.column: value`.
async fn cells(stack: &LocalStack) -> Result<Vec<String>> {
    let columns = "select format('%I.%I', table_schema, table_name)::text, quote_ident(column_name)::text
        from information_schema.columns join information_schema.tables using (table_schema, table_name)
        where table_type = 'BASE TABLE' and table_schema not in ('pg_catalog', 'information_schema')";
    let columns: Vec<(String, String)> = sqlx::query_as(columns).fetch_all(stack.database()).await?;
    let mut cells = Vec::new();
    for (table, column) in columns {
        let query =
            format!("select '{table}.{column}: ' || {column}::text from {table} where {column} is not null");
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(stack.database()).await?;
        cells.extend(found);
    }
    Ok(cells)
}
