//! Killed at every step: before each request upstream and after it.

use anyhow::{Result, ensure};
use libtest_mimic::Trial;
use local_stack::{World, http::Tripwire};
use serde_json::Value;

use super::{erase, order, outages::gone, person};
use crate::harness::trial;

pub fn trials() -> Vec<Trial> {
    vec![trial("erasure: killed at any step, it is taken up again and counted once", at_every_step)]
}

async fn at_every_step(world: World) -> Result<()> {
    let person = person::member(&world).await?;
    let wire = Tripwire::default();
    world.supabase().step_on(&wire);
    world.chatkit().step_on(&wire);
    // Once unharmed, which says how many steps there are.
    person::live(&world, &person).await?;
    wire.count();
    let whole = erase(&world, &person).await?["counts"].clone();
    let steps = wire.steps();
    ensure!(steps > 20, "{steps} steps");
    let mut killed = 0;
    for step in 0..steps {
        wire.count();
        person::live(&world, &person).await?;
        let name = person::chatkit_user(&world, &person).await?;
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
