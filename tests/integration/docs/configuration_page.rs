//! The variables in `docs/reference/configuration.md`, compared with the template and the
//! functions.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::lambda::workspace;
use local_stack::supabase::{OrgRole, Signer, User};
use local_stack::{Builder, LocalStack, http};
use serde_json::json;
use uuid::Uuid;

use crate::support::markdown;
use crate::support::project_files::{ensure_same, read_text};
use crate::support::template::Template;

/// Values that a function rejects if it reads the variable.
const MALFORMED: [(&str, &str); 13] = [
    ("SUPABASE_URL", "ftp://host.example"),
    ("SUPABASE_PUBLISHABLE_KEY", "no key"),
    ("SUPABASE_SECRET_KEY", "no key"),
    ("OPENAI_CHATKIT_SECRET", "a\u{1}b"),
    ("OPENAI_CHATKIT_PROJECT", "no project"),
    ("OPENAI_CHATKIT_BASE_URL", "ftp://host.example"),
    ("CHATKIT_SEALING_KEYS", "no keys"),
    ("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", ","),
    ("REQUIRE_AAL2_TO_DECIDE", "perhaps"),
    ("CORS_ALLOWED_ORIGINS", "*"),
    ("CORS_ALLOWED_HEADERS", "*"),
    ("DATABASE_WEBHOOK_SECRET", "short"),
    ("AGENT_CREDENTIALS", "no json"),
];

/// Variables without invalid values. Other tests show that the functions read them.
const UNVALIDATED: [&str; 5] = [
    "SUPABASE_JWT_SECRET",
    "SUPABASE_JWT_ISSUER",
    "SUPABASE_JWT_AUDIENCE",
    "AWS_LAMBDA_LOG_LEVEL",
    // Tested in `observability`.
    "METRICS_NAMESPACE",
];

#[tokio::test]
async fn template_sets_exactly_the_variables_of_each_function() -> Result<()> {
    let (table, template) = (Table::read()?, Template::read()?);
    let packages: BTreeSet<String> = workspace().await?.functions.iter().cloned().collect();
    ensure_same(("functions/", &packages), ("docs/reference/configuration.md", &table.functions()))?;
    for function in template.functions()? {
        let set: BTreeSet<String> = template.environment(&function).into_keys().collect();
        let reads = table.variables_of(function.package, |cell| !cell.is_empty());
        ensure_same(("template.yaml", &set), ("docs/reference/configuration.md", &reads))
            .context(function.id.to_owned())?;
    }
    Ok(())
}

#[tokio::test]
async fn template_resolves_secrets_from_secrets_manager() -> Result<()> {
    let (template, page) = (Template::read()?, read_text("docs/reference/configuration.md")?);
    for function in template.functions()? {
        for (variable, value) in template.environment(&function) {
            let paragraph = paragraph(&page, &variable)?;
            let is_secret = paragraph.contains("**Secret");
            let is_reference = value.to_string().contains("{{resolve:secretsmanager:");
            ensure!(
                is_secret == is_reference,
                "{}: {variable} is a secret: {is_secret}, and its value is {value}",
                function.id
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_variable_has_a_paragraph() -> Result<()> {
    let (page, table) = (read_text("docs/reference/configuration.md")?, Table::read()?);
    let headings = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let headings: BTreeSet<String> = headings.map(str::to_owned).collect();
    ensure_same(
        ("the headings of docs/reference/configuration.md", &headings),
        ("its table", &table.variables()),
    )?;
    let readme = markdown::table(&read_text("README.md")?, "variable");
    ensure!(!readme.is_empty(), "the README has no table of variables");
    for row in readme {
        ensure!(headings.contains(row[0].trim_matches('`')), "{} in the README has no paragraph", row[0]);
    }
    let tested = MALFORMED.iter().map(|(name, _)| *name).chain(UNVALIDATED);
    ensure_same(
        ("the variables of this test", &tested.map(str::to_owned).collect()),
        ("the table", &table.variables()),
    )
}

#[tokio::test]
async fn malformed_variables_stop_the_functions_that_read_them() -> Result<()> {
    let stack = malformed().start().await?;
    check_failed_starts(stack, |cell| !cell.is_empty()).await
}

#[tokio::test]
async fn missing_variables_stop_the_functions_that_need_them() -> Result<()> {
    let stack = missing().start().await?;
    check_failed_starts(stack, |cell| cell == "●").await
}

#[tokio::test]
async fn missing_sealing_keys_stop_functions_with_chatkit() -> Result<()> {
    let stack = without_sealing_keys().start().await?;
    let table = Table::read()?;
    let with_chatkit = "with `OPENAI_CHATKIT_SECRET`";
    let needs = |function: &str| !table.variables_of(function, |cell| cell == with_chatkit).is_empty();
    call_each(&stack, |function, _, status| {
        let expected = needs(function);
        ensure!(expected == (status == 502), "expected 502 from {function}: {expected}, found {status}");
        Ok(())
    })
    .await?;
    for (function, logged) in logged_variables(stack).await? {
        let expected = table.variables_of(&function, |cell| cell == with_chatkit);
        ensure_same(("its log", &logged), ("docs/reference/configuration.md", &expected))
            .context(function)?;
    }
    Ok(())
}

#[tokio::test]
async fn issuer_and_log_level_apply_to_documented_functions() -> Result<()> {
    let stack = LocalStack::builder()
        .env("SUPABASE_JWT_ISSUER", "https://elsewhere.example/auth/v1")
        .env("AWS_LAMBDA_LOG_LEVEL", "ERROR")
        .start()
        .await?;
    check_rejected_tokens("SUPABASE_JWT_ISSUER", &stack).await?;
    let lines = stack.final_logs().await;
    ensure!(lines.is_empty(), "expected no log line at the level ERROR, found {lines:?}");
    Ok(())
}

#[tokio::test]
async fn audience_applies_to_documented_functions() -> Result<()> {
    let stack = LocalStack::builder().env("SUPABASE_JWT_AUDIENCE", "another-audience").start().await?;
    check_rejected_tokens("SUPABASE_JWT_AUDIENCE", &stack).await?;
    stack.lambda().stop().await;
    let writers: BTreeSet<String> =
        stack.lambda().logs().lines().into_iter().map(|line| line.function).collect();
    let table = Table::read()?;
    let readers = table.functions().into_iter().filter(|function| {
        table.variables_of(function, |cell| !cell.is_empty()).contains("AWS_LAMBDA_LOG_LEVEL")
    });
    ensure_same(("the logs", &writers), ("docs/reference/configuration.md", &readers.collect()))
}

#[tokio::test]
async fn jwt_secret_applies_to_documented_functions() -> Result<()> {
    let stack = LocalStack::builder().legacy_tokens(true).start().await?;
    let table = Table::read()?;
    call_each(&stack, |function, signer, status| {
        let reads = table.variables_of(function, |cell| !cell.is_empty()).contains("SUPABASE_JWT_SECRET");
        let accepted = status < 500 && status != 401;
        let expected = signer == Signer::Es256 || reads;
        ensure!(
            accepted == expected,
            "expected that {function} accepts {signer:?}: {expected}, found {status}"
        );
        Ok(())
    })
    .await
}

fn malformed() -> Builder {
    MALFORMED.into_iter().fold(LocalStack::builder(), |stack, (name, value)| stack.env(name, value))
}

fn missing() -> Builder {
    MALFORMED.into_iter().fold(LocalStack::builder(), |stack, (name, _)| stack.env(name, ""))
}

fn without_sealing_keys() -> Builder {
    LocalStack::builder().env("CHATKIT_SEALING_KEYS", "")
}

/// The cell of each function and variable.
struct Table(BTreeMap<(String, String), String>);

impl Table {
    fn read() -> Result<Self> {
        let page = read_text("docs/reference/configuration.md")?;
        let columns = markdown::columns(&page, "variable");
        let mut cells = BTreeMap::new();
        for row in markdown::table(&page, "variable") {
            ensure!(
                row.len() == columns.len(),
                "expected {} cells in the row {}, found {}",
                columns.len(),
                row[0],
                row.len()
            );
            for (function, cell) in columns.iter().zip(&row).skip(1) {
                cells.insert((function.clone(), row[0].trim_matches('`').to_owned()), cell.clone());
            }
        }
        ensure!(!cells.is_empty(), "docs/reference/configuration.md has no table");
        Ok(Self(cells))
    }

    fn functions(&self) -> BTreeSet<String> {
        self.0.keys().map(|(function, _)| function.clone()).collect()
    }

    fn variables(&self) -> BTreeSet<String> {
        self.0.keys().map(|(_, variable)| variable.clone()).collect()
    }

    /// The variables of a function whose cells satisfy a condition.
    fn variables_of(&self, function: &str, condition: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let cells = self.0.iter().filter(|((f, _), cell)| f == function && condition(cell));
        cells.map(|((_, variable), _)| variable.clone()).collect()
    }
}

fn paragraph<'a>(page: &'a str, variable: &str) -> Result<&'a str> {
    let (_, rest) = page
        .split_once(&format!("\n### `{variable}`\n"))
        .with_context(|| format!("{variable} has no paragraph"))?;
    Ok(rest.split_once("\n##").map_or(rest, |(paragraph, _)| paragraph))
}

/// Checks that no function starts, and that each logs the variables whose cells satisfy a
/// condition.
async fn check_failed_starts(stack: LocalStack, condition: impl Fn(&str) -> bool) -> Result<()> {
    let table = Table::read()?;
    call_each(&stack, |_, _, status| {
        ensure!(status == 502, "expected that no function starts, found the status {status}");
        Ok(())
    })
    .await?;
    let logged = logged_variables(stack).await?;
    for function in table.functions() {
        let expected = &table.variables_of(&function, &condition) - &UNVALIDATED.map(str::to_owned).into();
        let logged = logged.get(&function).with_context(|| format!("{function} logged no variable"))?;
        ensure_same(("its log", logged), ("docs/reference/configuration.md", &expected)).context(function)?;
    }
    Ok(())
}

/// Checks that the functions which read the variable reject tokens.
async fn check_rejected_tokens(variable: &str, stack: &LocalStack) -> Result<()> {
    let table = Table::read()?;
    call_each(stack, |function, _, status| {
        let reads = table.variables_of(function, |cell| !cell.is_empty()).contains(variable);
        ensure!(reads == (status == 401), "expected 401 from {function}: {reads}, found {status}");
        Ok(())
    })
    .await
}

/// Calls every function, with a token of each kind of key, and checks the status.
async fn call_each(stack: &LocalStack, check: impl Fn(&str, Signer, u16) -> Result<()>) -> Result<()> {
    let user = User::new(Uuid::new_v4(), OrgRole::Member);
    stack.upsert_user(&user).await?;
    // These functions return no status. They log invalid variables all the same.
    let erasure =
        json!({ "orgId": user.org_id, "userId": user.id, "requestedBy": "ops", "reason": "a test" });
    for package in Template::read()?.unrouted()? {
        let event = if package == "erase-user" { erasure.clone() } else { json!({}) };
        let function = stack.lambda().function(&package)?;
        let _ = function.invoke(&Uuid::new_v4().to_string(), "Root=1-0-0", event.to_string().into()).await;
    }
    for route in workspace().await?.routes.iter().filter(|route| route.method != Some(Method::OPTIONS)) {
        let path = route.path.replace("{id}", &Uuid::new_v4().to_string());
        let url = format!("{}{path}", stack.function_url(&route.function));
        for signer in [Signer::Es256, Signer::Hs256] {
            let token = stack.issuer().token_builder(&user).signed_by(signer).sign();
            let method = route.method.clone().context("the route has no method")?;
            let reply = http::client().request(method, &url).bearer_auth(token).send().await?;
            check(&route.function, signer, reply.status().as_u16())?;
        }
    }
    Ok(())
}

/// The variables that each function logged as invalid.
async fn logged_variables(stack: LocalStack) -> Result<BTreeMap<String, BTreeSet<String>>> {
    stack.lambda().stop().await;
    let mut logged: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in stack.lambda().logs().lines() {
        let Some((_, list)) = line.text.split_once("mistake(s); ") else { continue };
        let variables = list.split("; ").filter_map(|mistake| mistake.split(' ').next());
        logged.entry(line.function).or_default().extend(variables.map(str::to_owned));
    }
    Ok(logged)
}
