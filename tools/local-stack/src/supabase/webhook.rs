//! Implements pg_net, the extension with which a Supabase database sends requests, by `LISTEN` and
//! `NOTIFY`, and Supabase Vault, the extension that stores secrets.
//!
//! As in pg_net, a request is sent after the commit, is not repeated on failure, and its response
//! is ignored. The product's own trigger calls it, configured as in `supabase/webhook.sql`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde_json::Value;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::task::JoinHandle;

use crate::http;

/// The pg_net function that the product calls, with its parameters and defaults.
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

const VAULT: &str = include_str!("vault.sql");

/// The webhook of one database. Dropping it stops it.
pub struct Webhook {
    calls: Arc<AtomicUsize>,
    cut: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Webhook {
    /// Calls `url` with the secret whenever a session has work for an agent.
    pub async fn start(database: &PgPool, url: String, secret: String) -> Result<Self> {
        sqlx::raw_sql(PG_NET).execute(database).await.context("setting up pg_net")?;
        sqlx::raw_sql(VAULT).execute(database).await.context("setting up Supabase Vault")?;
        let set = "select chatkit_private.set_webhook($1, $2)";
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

    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Drops every call from now on, or stops dropping.
    pub fn set_disconnected(&self, cut: bool) {
        self.cut.store(cut, Ordering::Relaxed);
    }
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.task.abort();
    }
}
