//! Checks the commands that do not run here, as far as their tools and the project know them.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use local_stack::toolchain::{AWS_SAM_CLI, CARGO_LAMBDA};
use serde_json::{Value, json};

use super::sandbox::{Call, Sandbox};
use crate::support::project_files::{read_text, root};

/// The commands of Supabase's CLI. `*` is any value.
const SUPABASE: [&str; 3] = ["login", "link --project-ref *", "db push"];

/// The targets of the template's parameter `Architecture`.
const RUSTUP: [&str; 1] = ["target add aarch64-unknown-linux-gnu"];

/// Each is what a page shows of git.
const GIT: [&str; 2] = ["diff docs", "diff shared/src/doctor/manifest.json"];

/// Returns the problems of the commands.
pub async fn check(calls: &[Call], sandbox: &Sandbox) -> Result<Vec<String>> {
    let mut problems = check_sam(calls, sandbox).await?;
    for call in calls {
        let words: Vec<&str> = call.arguments.iter().map(String::as_str).collect();
        let checked = match call.program.as_str() {
            "sam" => Ok(()),
            "cargo" => check_cargo(&words).await,
            "npm" => check_npm(call, &words),
            "pip" => check_pip(call, &words),
            "python" => check_exists(call, words.first().copied()),
            "python3" => is_one_of(&["-m venv .venv"], &words),
            "supabase" => is_one_of(&SUPABASE, &words),
            "rustup" => is_one_of(&RUSTUP, &words),
            "git" => is_one_of(&GIT, &words),
            other => Err(anyhow::anyhow!("no check of {other}")),
        };
        if let Err(error) = checked {
            problems.push(describe(call, &format!("{error:#}")));
        }
    }
    Ok(problems)
}

fn describe(call: &Call, problem: &str) -> String {
    format!("{}: {} {}: {problem}", call.page, call.program, call.arguments.join(" "))
}

fn is_one_of(known: &[&str], words: &[&str]) -> Result<()> {
    let matches = |known: &&str| {
        let known: Vec<&str> = known.split(' ').collect();
        known.len() == words.len()
            && known.iter().zip(words).all(|(known, word)| *known == "*" || known == word)
    };
    ensure!(known.iter().any(matches), "expected one of {known:?}");
    Ok(())
}

/// SAM's own parsers check the options, and the template the names.
async fn check_sam(calls: &[Call], sandbox: &Sandbox) -> Result<Vec<String>> {
    let calls: Vec<&Call> = calls.iter().filter(|call| call.program == "sam").collect();
    let commands: Vec<&[String]> = calls.iter().map(|call| &call.arguments[..]).collect();
    let mut python = AWS_SAM_CLI.install_async().await?.python();
    python.arg(root()?.join("tests/scripts/sam_commands.py"));
    python.env("PYTHONUTF8", "1").env("PYTHONDONTWRITEBYTECODE", "1");
    let input = sandbox.path().join("sam.json");
    let template = sandbox.path().join("template.yaml");
    std::fs::write(&input, json!({ "template": template, "commands": commands }).to_string())?;
    let problems: Vec<Option<String>> = serde_json::from_str(&output(python, Some(&input)).await?)?;
    ensure!(!calls.is_empty() && problems.len() == calls.len(), "{problems:?}");
    let described = calls.iter().zip(problems).filter_map(|(call, problem)| Some(describe(call, &problem?)));
    Ok(described.collect())
}

async fn output(mut command: Command, input: Option<&std::path::Path>) -> Result<String> {
    command.stdin(match input {
        Some(path) => Stdio::from(std::fs::File::open(path)?),
        None => Stdio::null(),
    });
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    Ok(text)
}

/// Cargo's own commands name packages of the workspace, `cargo lambda` options of the pinned tool,
/// and all others are aliases.
async fn check_cargo(words: &[&str]) -> Result<()> {
    match words {
        ["lambda", command, options @ ..] => check_cargo_lambda(command, options).await,
        ["test" | "run" | "build", options @ ..] => {
            // What follows `--` is for the program.
            let options = options.split(|word| *word == "--").next().unwrap_or_default();
            for pair in options.windows(2) {
                if let ["-p" | "--package", name] = pair {
                    ensure!(is_package(name)?, "the package {name} does not exist");
                }
            }
            for option in options.iter().filter(|word| word.starts_with('-')) {
                let known = ["-p", "--package", "--workspace", "--example", "--examples"];
                ensure!(known.contains(option), "the test does not know {option}");
            }
            Ok(())
        }
        [alias, ..] => {
            let is_alias = read_text(".cargo/config.toml")?.contains(&format!("\n{alias} = "));
            ensure!(is_alias, ".cargo/config.toml does not define the alias {alias}");
            Ok(())
        }
        [] => bail!("no command"),
    }
}

async fn check_cargo_lambda(command: &str, options: &[&str]) -> Result<()> {
    let mut help = CARGO_LAMBDA.install_async().await?.program("cargo-lambda");
    help.args(["lambda", command, "--help"]);
    let help = output(help, None).await?;
    let known: Vec<&str> = help.split([' ', ',', '\n', '=', '[']).collect();
    for option in options.iter().filter(|word| word.starts_with('-')) {
        ensure!(known.contains(option), "{command} has no option {option}");
    }
    let first = options.first().filter(|word| !word.starts_with('-'));
    if let (Some(function), "deploy" | "invoke") = (first, command) {
        ensure!(root()?.join("functions").join(function).is_dir(), "the function {function} does not exist");
    }
    if let Some(["--features", feature]) = options.windows(2).find(|pair| pair[0] == "--features") {
        let feature = feature.strip_prefix("shared/").unwrap_or(feature);
        let library = read_text("shared/Cargo.toml")?;
        ensure!(library.contains(&format!("\n{feature} = [")), "the feature {feature} does not exist");
    }
    Ok(())
}

fn is_package(name: &str) -> Result<bool> {
    let members = ["", "examples", "functions", "tools"].map(|folder| root().map(|root| root.join(folder)));
    let line = format!("\nname = \"{name}\"\n");
    for members in members {
        for entry in std::fs::read_dir(members?)? {
            let manifest = std::fs::read_to_string(entry?.path().join("Cargo.toml"));
            if manifest.is_ok_and(|text| text.contains(&line)) {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn check_npm(call: &Call, words: &[&str]) -> Result<()> {
    let read = |name: &str| -> Result<Value> {
        let text = std::fs::read_to_string(call.folder.join(name)).with_context(|| format!("no {name}"))?;
        Ok(serde_json::from_str(&text)?)
    };
    match words {
        ["ci"] => read("package-lock.json").map(drop),
        ["run", script] => {
            ensure!(
                read("package.json")?["scripts"][script].is_string(),
                "the script {script} does not exist"
            );
            Ok(())
        }
        ["install", packages @ ..] => {
            for package in packages.iter().filter(|package| package.starts_with("./")) {
                read(&format!("{package}/package.json"))?;
            }
            Ok(())
        }
        _ => bail!("the test does not know the command"),
    }
}

/// `deployment_guide` compares the versions with the pins.
fn check_pip(call: &Call, words: &[&str]) -> Result<()> {
    match words {
        ["install", "-r", file] => check_exists(call, Some(file)),
        ["install", packages @ ..] => {
            ensure!(packages.iter().all(|package| package.contains("==")), "a package without a version");
            Ok(())
        }
        _ => bail!("the test does not know the command"),
    }
}

fn check_exists(call: &Call, file: Option<&str>) -> Result<()> {
    let file = file.context("no file")?;
    ensure!(call.folder.join(file).is_file(), "there is no {file}");
    Ok(())
}
