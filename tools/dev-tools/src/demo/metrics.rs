//! How it went, counted: what the approver's dashboard shows of all that was played.

use anyhow::Result;

use super::Play;
use super::printer::Stage;

/// What a plain count of the tables says, under the names that the API has for it.
const COUNTED: &[(&str, &str)] = &[
    ("/total/sessions/created", "count(*) from public.chat_sessions where org_id = $1"),
    ("/total/sessions/active", "count(*) from public.chat_sessions where org_id = $1 and status = 'active'"),
    (
        "/total/cohort/cancelled",
        "count(*) from public.chat_sessions where org_id = $1 and end_reason = 'cancelled'",
    ),
    ("/total/sessions/events", "count(*) from public.chat_events where org_id = $1"),
    (
        "/total/timeToDecision/count",
        "count(*) from public.chat_escalations where org_id = $1 and status = 'resolved'",
    ),
    ("/total/deliveries/made", "count(*) from public.deliveries where org_id = $1"),
];

pub async fn dashboard(stage: &mut Stage, play: &mut Play<'_>) -> Result<()> {
    stage.act("The approver looks at how it went").await;
    let reply = play.approver.get(stage, "/chatkit/metrics?groupBy=agent").await?;
    stage.shows(
        &reply.body,
        &[
            "/total/sessions",
            "/total/cohort/cancelRate",
            "/total/timeToEscalation",
            "/total/timeToDecision",
            "/total/automation",
            "/total/approvalLoad/0",
        ],
    );
    stage.promise("the metrics are told", 200, reply.status)?;
    for (pointer, count) in COUNTED {
        let query = sqlx::AssertSqlSafe(format!("select {count}"));
        let counted: i64 =
            sqlx::query_scalar(query).bind(play.org_id).fetch_one(play.stack.database()).await?;
        let told = reply.body.pointer(pointer).and_then(serde_json::Value::as_i64);
        stage.promise(&format!("{pointer} is what the tables hold"), Some(counted), told)?;
    }
    let reply = play.clerk.get(stage, "/chatkit/metrics").await?;
    let refused = (reply.status, reply.text("/code")?);
    stage.promise("a member is not told", (403, "metrics_forbidden".to_owned()), refused)?;
    let reply = play.stranger.get(stage, "/chatkit/metrics?groupBy=agent").await?;
    let elsewhere = reply.body.pointer("/total/deliveries/made").cloned().unwrap_or_default();
    stage.promise(
        "and the stranger's own organisation has done nothing of it",
        &serde_json::json!(0),
        &elsewhere,
    )
}
