//! The approver's metrics of everything that the demo did.

use anyhow::Result;

use super::Demo;
use super::printer::Printer;

/// SQL that counts the same rows, by the path in the API's response.
const TABLE_COUNTS: &[(&str, &str)] = &[
    ("/total/sessions/created", "count(*) from public.chat_sessions where org_id = $1"),
    ("/total/sessions/active", "count(*) from public.chat_sessions where org_id = $1 and status = 'active'"),
    (
        "/total/cohort/cancelled",
        "count(*) from public.chat_sessions where org_id = $1 and end_reason = 'cancelled'",
    ),
    ("/total/sessions/events", "count(*) from public.chat_events where org_id = $1"),
    (
        "/total/timeToDecision/count",
        "count(*) from public.chat_escalations
         where org_id = $1 and status = 'resolved' and kind <> 'confirm'",
    ),
    ("/total/deliveries/made", "count(*) from public.deliveries where org_id = $1"),
];

pub async fn dashboard(printer: &mut Printer, demo: &mut Demo<'_>) -> Result<()> {
    printer.section("The approver reads the metrics").await;
    let response = demo.approver.get(printer, "/chatkit/metrics?groupBy=agent").await?;
    printer.fields(
        &response.body,
        &[
            "/total/sessions",
            "/total/cohort/cancelRate",
            "/total/timeToEscalation",
            "/total/timeToDecision",
            "/total/automation",
            "/total/approvalLoad/0",
        ],
    );
    printer.check_eq("the metrics are returned", 200, response.status)?;
    for (pointer, count) in TABLE_COUNTS {
        let query = sqlx::AssertSqlSafe(format!("select {count}"));
        let counted: i64 =
            sqlx::query_scalar(query).bind(demo.org_id).fetch_one(demo.stack.database()).await?;
        let reported = response.body.pointer(pointer).and_then(serde_json::Value::as_i64);
        printer.check_eq(&format!("{pointer} equals the count of the table"), Some(counted), reported)?;
    }
    let response = demo.clerk.get(printer, "/chatkit/metrics").await?;
    let rejected = (response.status, response.text("/code")?);
    printer.check_eq("a member cannot read the metrics", (403, "metrics_forbidden".to_owned()), rejected)?;
    let response = demo.stranger.get(printer, "/chatkit/metrics?groupBy=agent").await?;
    let other = response.body.pointer("/total/deliveries/made").cloned().unwrap_or_default();
    printer.check_eq("the metrics of the other organisation are not affected", &serde_json::json!(0), &other)
}
