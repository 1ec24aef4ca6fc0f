//! The model of a local stack.

use anyhow::Result;
use local_stack::LocalStack;
use local_stack::lambda::{Binaries, DeployedFunction};
use local_stack::model::MODEL;
use serde_json::{Value, json};

#[tokio::test]
async fn functions_reach_the_model_with_their_variables() -> Result<()> {
    let stack = LocalStack::builder().binaries(Binaries::new()).start().await?;
    let variables = ["MODEL_BASE_URL", "MODEL_API_KEY"];
    let deployed = DeployedFunction {
        variables: variables.iter().map(|name| (*name).to_owned()).collect(),
        ..DeployedFunction::default()
    };
    let environment = stack.environment().for_function(&deployed);
    let [url, key] = variables.map(|name| environment.get(name).cloned().unwrap_or_default());
    assert_eq!((&url, &key), (&stack.model().base_url(), &stack.model().api_key()));
    let others = stack.environment().for_function(&DeployedFunction::default());
    assert!(variables.iter().all(|name| !others.contains_key(*name)));

    let request = local_stack::http::client().post(format!("{url}/responses")).bearer_auth(key);
    let response: Value =
        request.json(&json!({"model": MODEL, "input": "Hello"})).send().await?.json().await?;
    assert_eq!(response["output"][0]["content"][0]["text"], "You wrote: Hello");
    assert_eq!(stack.model().requests().len(), 1);
    Ok(())
}
