//! The variables in `docs/reference/configuration.md`, compared with the template and the
//! functions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::lambda::workspace;
use local_stack::supabase::{OrgRole, Signer, User};
use local_stack::{LocalStack, http};
use serde_json::json;
use uuid::Uuid;

use crate::support::generated_docs::check_generated;
use crate::support::markdown;
use crate::support::project_files::{ensure_same, read_text};
use crate::support::template::Template;

/// Values that a function rejects if it reads the variable.
const MALFORMED: [(&str, &str); 18] = [
    ("SUPABASE_URL", "ftp://host.example"),
    ("SUPABASE_PUBLISHABLE_KEY", "no key"),
    ("SUPABASE_SECRET_KEY", "no key"),
    ("OPENAI_CHATKIT_SECRET", "a\u{1}b"),
    ("OPENAI_CHATKIT_PROJECT", "no project"),
    ("OPENAI_CHATKIT_BASE_URL", "ftp://host.example"),
    ("CHATKIT_API_URL", "ftp://host.example"),
    ("CHATKIT_DOMAIN_KEY", "no key"),
    ("MODEL_BASE_URL", "ftp://host.example"),
    ("MODEL_API_KEY", "a\u{1}b"),
    ("CHATKIT_SEALING_KEYS", "no keys"),
    ("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", ","),
    ("REQUIRE_AAL2_TO_DECIDE", "perhaps"),
    ("CORS_ALLOWED_ORIGINS", "*"),
    ("CORS_ALLOWED_HEADERS", "*"),
    ("DATABASE_WEBHOOK_SECRET", "short"),
    ("ROUTE_EVENTS_FUNCTION", "a/b"),
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

const PAGE: &str = "docs/reference/configuration.md";

/// The template states which function gets a variable. Functions that are started without
/// variables state which of them are required.
#[tokio::test]
async fn table_of_variables_is_generated() -> Result<()> {
    let required = required_variables().await?;
    let required_with_chatkit = variables_required_with_chatkit().await?;
    let environments = environments(&Template::read()?)?;
    for (function, variables) in required.iter().chain(&required_with_chatkit) {
        let set = environments.get(function).with_context(|| format!("{function} is not deployed"))?;
        let missing: Vec<&String> = variables.difference(set).collect();
        ensure!(missing.is_empty(), "template.yaml does not give {missing:?} to {function}");
    }
    let packages = workspace().await?.functions.iter().cloned().collect();
    ensure_same(("functions/", &packages), ("template.yaml", &environments.keys().cloned().collect()))?;

    let functions = functions_in_order()?;
    let mut rows = vec![["variable".to_owned()].into_iter().chain(functions.iter().cloned()).collect()];
    for variable in variables_in_order(&environments)? {
        let contains = |variables: &VariablesByFunction, function: &String| {
            variables.get(function).is_some_and(|variables| variables.contains(&variable))
        };
        let cell = |function: &String| {
            let marks = [(&required, "●"), (&required_with_chatkit, "◐"), (&environments, "○")];
            marks
                .into_iter()
                .find(|(variables, _)| contains(variables, function))
                .map_or("", |(_, mark)| mark)
        };
        let cells = functions.iter().map(|function| cell(function).to_owned());
        rows.push([format!("`{variable}`")].into_iter().chain(cells).collect());
    }
    check_generated(PAGE, "variables by function", &markdown::render_matrix(&rows))
}

#[tokio::test]
async fn template_resolves_secrets_from_secrets_manager() -> Result<()> {
    let (template, page) = (Template::read()?, read_text(PAGE)?);
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
    let (page, table) = (read_text(PAGE)?, Table::read()?);
    let headings: BTreeSet<String> = headings(&page).into_iter().collect();
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
    let stack =
        MALFORMED.into_iter().fold(LocalStack::builder(), |stack, (name, value)| stack.env(name, value));
    let stack = stack.start().await?;
    check_that_no_function_starts(&stack).await?;
    let (logged, table) = (logged_variables(stack).await?, Table::read()?);
    for function in table.functions() {
        let read = table.variables_of(&function, |cell| !cell.is_empty());
        let expected = &read - &UNVALIDATED.map(str::to_owned).into();
        let logged = logged.get(&function).with_context(|| format!("{function} logged no variable"))?;
        ensure_same(("its log", logged), (PAGE, &expected)).context(function)?;
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
    ensure_same(("the logs", &writers), (PAGE, &readers.collect()))
}

#[tokio::test]
async fn jwt_secret_applies_to_documented_functions() -> Result<()> {
    let stack = LocalStack::builder().legacy_tokens(true).start().await?;
    let table = Table::read()?;
    let template = &workspace().await?.template;
    call_each(&stack, |function, signer, status| {
        let reads = table.variables_of(function, |cell| !cell.is_empty()).contains("SUPABASE_JWT_SECRET");
        let accepted = status < 500 && status != 401;
        // A function that streams does not verify tokens, but client secrets, after the body.
        let expected = signer == Signer::Es256 || reads || template.function(function)?.streams;
        ensure!(
            accepted == expected,
            "expected that {function} accepts {signer:?}: {expected}, found {status}"
        );
        Ok(())
    })
    .await
}

type VariablesByFunction = BTreeMap<String, BTreeSet<String>>;

/// The variables without which the functions do not start.
async fn required_variables() -> Result<VariablesByFunction> {
    let stack = MALFORMED.into_iter().fold(LocalStack::builder(), |stack, (name, _)| stack.env(name, ""));
    let stack = stack.start().await?;
    check_that_no_function_starts(&stack).await?;
    logged_variables(stack).await
}

/// The variables without which functions with ChatKit do not start.
async fn variables_required_with_chatkit() -> Result<VariablesByFunction> {
    let required = ["CHATKIT_SEALING_KEYS", "CHATKIT_DOMAIN_KEY", "MODEL_API_KEY"];
    let stack = required.into_iter().fold(LocalStack::builder(), |stack, name| stack.env(name, ""));
    let stack = stack.start().await?;
    let stopped = Mutex::new(BTreeSet::new());
    call_each(&stack, |function, _, status| {
        if status == 502 {
            stopped.lock().unwrap().insert(function.to_owned());
        }
        Ok(())
    })
    .await?;
    let logged = logged_variables(stack).await?;
    // Functions without a route return no status.
    let expected = &logged.keys().cloned().collect() - &Template::read()?.unrouted()?;
    ensure_same(("the logs", &expected), ("the responses with 502", &stopped.into_inner()?))?;
    Ok(logged)
}

/// The variables that the template gives to each function.
fn environments(template: &Template) -> Result<VariablesByFunction> {
    let mut found = VariablesByFunction::new();
    for function in template.functions()? {
        let variables: BTreeSet<String> = template.environment(&function).into_keys().collect();
        let other = found.insert(function.package.to_owned(), variables.clone());
        if let Some(other) = other {
            ensure_same(("another deployment of the package", &other), (function.id, &variables))?;
        }
    }
    Ok(found)
}

/// The functions in the order of the template.
fn functions_in_order() -> Result<Vec<String>> {
    let template = read_text("template.yaml")?;
    let mut functions: Vec<String> = Vec::new();
    for rest in template.split("Binary: ").skip(1) {
        let function = rest.split([' ', '\n', '}']).next().unwrap_or_default();
        if !functions.iter().any(|other| other == function) {
            functions.push(function.to_owned());
        }
    }
    Ok(functions)
}

/// All variables, in the order of their paragraphs in the page.
fn variables_in_order(environments: &VariablesByFunction) -> Result<Vec<String>> {
    let headings = headings(&read_text(PAGE)?);
    let variables: BTreeSet<&String> = environments.values().flatten().collect();
    let mut variables: Vec<String> = variables.into_iter().cloned().collect();
    let place = |variable: &String| headings.iter().position(|heading| heading == variable);
    variables.sort_by_key(|variable| place(variable).unwrap_or(usize::MAX));
    Ok(variables)
}

/// The variables that have a paragraph.
fn headings(page: &str) -> Vec<String> {
    let headings = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    headings.map(str::to_owned).collect()
}

/// The cell of each function and variable.
struct Table(BTreeMap<(String, String), String>);

impl Table {
    fn read() -> Result<Self> {
        let page = read_text(PAGE)?;
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

async fn check_that_no_function_starts(stack: &LocalStack) -> Result<()> {
    call_each(stack, |function, _, status| {
        ensure!(status == 502, "expected that {function} does not start, found the status {status}");
        Ok(())
    })
    .await
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
