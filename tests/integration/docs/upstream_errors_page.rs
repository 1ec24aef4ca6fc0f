//! The tables of `docs/reference/upstream-errors.md`, from the classification of responses.

use anyhow::Result;
use shared::clients::upstream_errors_table;

use crate::support::generated_docs::check_generated;
use crate::support::markdown::render_table;

const PAGE: &str = "docs/reference/upstream-errors.md";

#[tokio::test]
async fn table_of_supabase_errors_is_generated() -> Result<()> {
    check_generated(PAGE, "supabase", &render_table(&upstream_errors_table::supabase()))
}

#[tokio::test]
async fn table_of_openai_errors_is_generated() -> Result<()> {
    check_generated(PAGE, "openai", &render_table(&upstream_errors_table::openai()))
}

#[tokio::test]
async fn table_of_model_errors_is_generated() -> Result<()> {
    check_generated(PAGE, "model", &render_table(&upstream_errors_table::model()))
}

#[tokio::test]
async fn table_of_agent_errors_is_generated() -> Result<()> {
    check_generated(PAGE, "agents", &render_table(&upstream_errors_table::agents()))
}
