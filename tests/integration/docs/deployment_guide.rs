//! `docs/guides/deploy.md` and `template.yaml` fit each other, and SAM takes the template.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use local_stack::toolchain::{AWS_SAM_CLI, CARGO_LAMBDA, Tool};

use super::template::Template;
use crate::support::markdown;
use crate::support::project_files::{root, same, text};

// NAME: described: docs/guides/deploy.md names every parameter of the template
#[tokio::test]
async fn parameters() -> Result<()> {
    let template = Template::read()?;
    let parameters = template.0["Parameters"].as_object().context("no parameters")?;
    let taken: BTreeSet<String> = parameters.keys().cloned().collect();
    let rows = markdown::table(&text("docs/guides/deploy.md")?, "parameter");
    let named = rows.iter().flat_map(|row| markdown::quoted(&row[0])).map(str::to_owned).collect();
    same(("template.yaml", &taken), ("docs/guides/deploy.md", &named))
}

// NAME: described: docs/guides/deploy.md installs the tools that are tried here
#[tokio::test]
async fn tools() -> Result<()> {
    let page = text("docs/guides/deploy.md")?;
    let install =
        page.lines().find_map(|line| line.strip_prefix("pip install ")).context("no pip install")?;
    let said: BTreeSet<String> = install.split(' ').map(str::to_owned).collect();
    let pin = |tool: Tool| {
        let begin = format!("{}==", tool.name);
        let pin = tool.requirements.lines().find(|line| line.starts_with(&begin));
        pin.map(str::to_owned).with_context(|| format!("{} is not pinned", tool.name))
    };
    let pinned = BTreeSet::from([pin(AWS_SAM_CLI)?, pin(CARGO_LAMBDA)?]);
    same(("docs/guides/deploy.md", &said), ("tools/local-stack/pinned", &pinned))
}

// NAME: described: SAM finds nothing wrong with the template
#[tokio::test]
async fn validated() -> Result<()> {
    let sam = AWS_SAM_CLI.ready().await?;
    let mut command = sam.program("sam");
    command.args(["validate", "--lint", "--region", "us-east-1"]).current_dir(root()?).stdin(Stdio::null());
    let run = tokio::task::spawn_blocking(move || Command::output(&mut command));
    let output = run.await?.context("running sam")?;
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(())
}
