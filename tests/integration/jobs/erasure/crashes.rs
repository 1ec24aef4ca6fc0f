//! Killed at every step: before each request upstream and after it.

use anyhow::{Result, ensure};
use local_stack::LocalStack;
use local_stack::http::Breakpoint;
use serde_json::Value;

use super::outages::gone;
use super::{erase, fixture, order};

// NAME: erasure: killed at any step, it is taken up again and counted once
#[tokio::test]
async fn at_every_step() -> Result<()> {
    let stack = LocalStack::start().await?;
    let person = fixture::member(&stack).await?;
    let wire = Breakpoint::default();
    stack.supabase().step_on(&wire);
    stack.openai().step_on(&wire);
    // Once unharmed, which says how many steps there are.
    fixture::live(&stack, &person).await?;
    wire.count();
    let whole = erase(&stack, &person).await?["counts"].clone();
    let steps = wire.steps();
    ensure!(steps > 20, "{steps} steps");
    let mut killed = 0;
    for step in 0..steps {
        wire.count();
        fixture::live(&stack, &person).await?;
        let name = fixture::chatkit_user(&stack, &person).await?;
        let victim = stack.lambda().function("erase-user")?.clone();
        victim.kill();
        let doomed = victim.clone();
        wire.arm(step, move || _ = doomed.kill());
        let answered: Option<Value> = stack.invoke_admin("erase-user", &order(&person)).await.ok();
        killed += usize::from(answered.is_none());
        wire.count();
        let report = erase(&stack, &person).await?;
        ensure!(report["counts"] == whole, "killed at step {step}: {} instead of {whole}", report["counts"]);
        gone(&stack, &person, &name).await?;
    }
    ensure!(killed * 10 >= steps as usize * 9, "only {killed} of {steps} were killed");
    Ok(())
}
