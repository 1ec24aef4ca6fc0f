//! pg_net, the extension by which a Supabase database sends requests, played by `LISTEN` and `NOTIFY`.
//!
//! As there, a request is sent once the transaction is committed, one that fails is not sent again, and its answer is not looked at.
//! What calls it is the product's own trigger, set up as `supabase/webhook.sql` does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::task::JoinHandle;

use crate::http;

/// The function of pg_net that is used, with its arguments' names and defaults.
/// Source: <https://supabase.github.io/pg_net/api/>
const PG_NET: &str = "
    create schema if not exists net;
    create or replace function net.http_post(
      url text, body jsonb default '{}', params jsonb default '{}',
      headers jsonb default '{\"Content-Type\": \"application/json\"}', timeout_milliseconds integer default 5000
    ) returns bigint language plpgsql as $$
      begin
        perform pg_notify('pg_net', json_build_object('url', url, 'body', body, 'headers', headers)::text);
        return 1;
      end $$;
    revoke all on schema net from public;
    grant usage on schema net to postgres, anon, authenticated, service_role;";

/// A webhook of one database. Dropping it ends it.
pub struct Webhook {
    calls: Arc<AtomicUsize>,
    cut: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Webhook {
    /// Has `url` called with the secret in its header whenever a session comes to have something for an agent.
    pub async fn start(database: &PgPool, url: String, secret: String) -> Result<Self> {
        sqlx::raw_sql(PG_NET).execute(database).await.context("setting up pg_net")?;
        let set = "insert into chatkit_private.webhook (url, secret) values ($1, $2)
                   on conflict (only_one) do update set url = excluded.url, secret = excluded.secret";
        sqlx::query(set).bind(url).bind(secret).execute(database).await.context("setting up the webhook")?;
        let mut listener = PgListener::connect_with(database).await.context("listening for the webhook")?;
        listener.listen("pg_net").await?;
        let (calls, cut) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (called, is_cut) = (calls.clone(), cut.clone());
        let task = tokio::spawn(async move {
            while let Ok(notification) = listener.recv().await {
                if is_cut.load(Ordering::Relaxed) {
                    continue;
                }
                let Ok(posted) = serde_json::from_str::<Value>(notification.payload()) else { continue };
                called.fetch_add(1, Ordering::Relaxed);
                let mut request = http::client().post(posted["url"].as_str().unwrap_or_default());
                for (name, value) in posted["headers"].as_object().into_iter().flatten() {
                    request = request.header(name, value.as_str().unwrap_or_default());
                }
                tokio::spawn(request.body(posted["body"].to_string()).send());
            }
        });
        Ok(Self { calls, cut, task })
    }

    /// How often it has called.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Loses every call from now on, or none.
    pub fn cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}
