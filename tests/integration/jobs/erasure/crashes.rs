//! Erasures whose process is killed before or after each upstream request.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::http::Breakpoint;
use serde_json::Value;

use super::outages::assert_erased;
use super::{erase, erase_request, fixture};

#[tokio::test]
async fn erasure_killed_at_any_request_resumes_with_same_counts() -> Result<()> {
    let stack = LocalStack::start().await?;
    let member = fixture::member(&stack).await?;
    let breakpoint = Breakpoint::default();
    stack.supabase().set_breakpoint(&breakpoint);
    stack.openai().set_breakpoint(&breakpoint);
    // One complete erasure counts the steps.
    fixture::create_data(&stack, &member).await?;
    breakpoint.reset();
    let expected = erase(&stack, &member).await?["counts"].clone();
    let steps = breakpoint.steps();
    ensure!(steps > 20, "expected more than 20 steps, found {steps}");
    let mut killed = 0;
    for step in 0..steps {
        breakpoint.reset();
        fixture::create_data(&stack, &member).await?;
        let name = fixture::chatkit_user(&stack, &member).await?;
        let function = stack.lambda().function("erase-user")?.clone();
        function.kill();
        breakpoint.arm(step, move || _ = function.kill());
        let report: Option<Value> = stack.invoke_admin("erase-user", &erase_request(&member)).await.ok();
        killed += usize::from(report.is_none());
        breakpoint.reset();
        let report = erase(&stack, &member).await?;
        ensure!(
            report["counts"] == expected,
            "killed at step {step}: {} instead of {expected}",
            report["counts"]
        );
        assert_erased(&stack, &member, &name).await?;
    }
    ensure!(killed * 10 >= steps as usize * 9, "only {killed} of {steps} erasures were killed");
    Ok(())
}
