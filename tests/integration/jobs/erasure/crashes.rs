//! Killed at every step: before each request upstream and after it.

use anyhow::{Result, ensure};
use local_stack::World;
use local_stack::http::Tripwire;
use serde_json::Value;

use super::outages::gone;
use super::{erase, fixture, order};

// NAME: erasure: killed at any step, it is taken up again and counted once
#[tokio::test]
async fn at_every_step() -> Result<()> {
    let world = World::start().await?;
    let person = fixture::member(&world).await?;
    let wire = Tripwire::default();
    world.supabase().step_on(&wire);
    world.chatkit().step_on(&wire);
    // Once unharmed, which says how many steps there are.
    fixture::live(&world, &person).await?;
    wire.count();
    let whole = erase(&world, &person).await?["counts"].clone();
    let steps = wire.steps();
    ensure!(steps > 20, "{steps} steps");
    let mut killed = 0;
    for step in 0..steps {
        wire.count();
        fixture::live(&world, &person).await?;
        let name = fixture::chatkit_user(&world, &person).await?;
        let victim = world.lambda().function("erase-user")?.clone();
        victim.kill();
        let doomed = victim.clone();
        wire.arm(step, move || _ = doomed.kill());
        let answered: Option<Value> = world.order("erase-user", &order(&person)).await.ok();
        killed += usize::from(answered.is_none());
        wire.count();
        let report = erase(&world, &person).await?;
        ensure!(report["counts"] == whole, "killed at step {step}: {} instead of {whole}", report["counts"]);
        gone(&world, &person, &name).await?;
    }
    ensure!(killed * 10 >= steps as usize * 9, "only {killed} of {steps} were killed");
    Ok(())
}
