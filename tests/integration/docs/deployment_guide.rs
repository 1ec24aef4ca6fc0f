//! `docs/guides/deploy.md` and the validity of `template.yaml`.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use local_stack::toolchain::{AWS_SAM_CLI, CARGO_LAMBDA, Tool};

use crate::support::markdown;
use crate::support::project_files::{ensure_same, read_text, root};
use crate::support::skip;
use crate::support::template::Template;

#[tokio::test]
async fn deploy_guide_lists_every_template_parameter() -> Result<()> {
    let template = Template::read()?;
    let parameters = template.0["Parameters"].as_object().context("the template has no parameters")?;
    let parameters: BTreeSet<String> = parameters.keys().cloned().collect();
    let rows = markdown::table(&read_text("docs/guides/deploy.md")?, "parameter");
    let listed = rows.iter().flat_map(|row| markdown::code_spans(&row[0])).map(str::to_owned).collect();
    ensure_same(("template.yaml", &parameters), ("docs/guides/deploy.md", &listed))
}

#[tokio::test]
async fn deploy_guide_installs_the_pinned_tools() -> Result<()> {
    let page = read_text("docs/guides/deploy.md")?;
    let install = page
        .lines()
        .find_map(|line| line.strip_prefix("pip install "))
        .context("the guide has no `pip install`")?;
    let installed: BTreeSet<String> = install.split(' ').map(str::to_owned).collect();
    let pin = |tool: Tool| {
        let prefix = format!("{}==", tool.name);
        let pin = tool.requirements.lines().find(|line| line.starts_with(&prefix));
        pin.map(str::to_owned).with_context(|| format!("{} is not pinned", tool.name))
    };
    let pinned = BTreeSet::from([pin(AWS_SAM_CLI)?, pin(CARGO_LAMBDA)?]);
    ensure_same(("docs/guides/deploy.md", &installed), ("tools/local-stack/pinned", &pinned))
}

#[tokio::test]
async fn sam_validate_accepts_template() -> Result<()> {
    skip::with_tools(validate_template()).await
}

async fn validate_template() -> Result<()> {
    let sam = AWS_SAM_CLI.install_async().await?;
    let mut command = sam.program("sam");
    command.args(["validate", "--lint", "--region", "us-east-1"]).current_dir(root()?).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || Command::output(&mut command));
    let output = run.await?.context("running sam")?;
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "expected that sam validate succeeds, found {}:\n{text}", output.status);
    Ok(())
}
