//! Supabase's database webhook, played by `LISTEN` and `NOTIFY`: what `supabase/webhook.sql` sets up in a project.
//!
//! As there, it fires once the transaction is committed, a call that fails is not made again, and its answer is not looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use serde_json::json;
use sqlx::PgPool;
use sqlx::postgres::PgListener;
use tokio::task::JoinHandle;

use crate::http;

/// The table whose new rows are told of, as in `supabase/webhook.sql`.
const TRIGGER: &str = "
    create or replace function public.wake_route_events() returns trigger language plpgsql as $$
      begin perform pg_notify('wake_route_events', ''); return null; end $$;
    revoke all on function public.wake_route_events() from public, anon, authenticated, service_role;
    create or replace trigger wake_route_events after insert on public.delivery_queues
      for each row execute function public.wake_route_events();";

/// A webhook of one database. Dropping it ends it.
pub struct Webhook {
    calls: Arc<AtomicUsize>,
    cut: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Webhook {
    /// Has `url` called with the secret in its header whenever a session comes to have something for an agent.
    pub async fn start(database: &PgPool, url: String, secret: String) -> Result<Self> {
        sqlx::raw_sql(TRIGGER).execute(database).await.context("setting up the webhook")?;
        let mut listener = PgListener::connect_with(database).await.context("listening for the webhook")?;
        listener.listen("wake_route_events").await?;
        let (calls, cut) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (called, is_cut) = (calls.clone(), cut.clone());
        let task = tokio::spawn(async move {
            while listener.recv().await.is_ok() {
                if is_cut.load(Ordering::Relaxed) {
                    continue;
                }
                called.fetch_add(1, Ordering::Relaxed);
                let request = http::client().post(&url).header("x-webhook-secret", &secret);
                let body = json!({ "type": "INSERT", "table": "delivery_queues", "schema": "public" });
                tokio::spawn(request.json(&body).send());
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
