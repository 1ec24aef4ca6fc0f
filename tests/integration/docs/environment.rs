//! `docs/reference/configuration.md`: what each function reads, which is what the template gives it, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use http_client::Method;
use local_stack::lambda::workspace;
use local_stack::supabase::{OrgRole, Signer, User};
use local_stack::{Builder, LocalStack, http};
use serde_json::json;
use uuid::Uuid;

use super::template::Template;
use crate::support::markdown;
use crate::support::project_files::{same, text};

/// Values that nobody takes. What is not among them is taken as it comes, and shown to be read by what it does.
const MALFORMED: [(&str, &str); 13] = [
    ("SUPABASE_URL", "ftp://nowhere"),
    ("SUPABASE_PUBLISHABLE_KEY", "no key"),
    ("SUPABASE_SECRET_KEY", "no key"),
    ("OPENAI_CHATKIT_SECRET", "a\u{1}b"),
    ("OPENAI_CHATKIT_PROJECT", "no project"),
    ("OPENAI_CHATKIT_BASE_URL", "ftp://nowhere"),
    ("CHATKIT_SEALING_KEYS", "no keys"),
    ("OAUTH_CLIENTS_ALLOWED_TO_DECIDE", ","),
    ("REQUIRE_AAL2_TO_DECIDE", "perhaps"),
    ("CORS_ALLOWED_ORIGINS", "*"),
    ("CORS_ALLOWED_HEADERS", "*"),
    ("DATABASE_WEBHOOK_SECRET", "short"),
    ("AGENT_CREDENTIALS", "no json"),
];
const TAKEN_AS_THEY_COME: [&str; 5] = [
    "SUPABASE_JWT_SECRET",
    "SUPABASE_JWT_ISSUER",
    "SUPABASE_JWT_AUDIENCE",
    "AWS_LAMBDA_LOG_LEVEL",
    // That it is read is shown where the metrics are (`seen`).
    "METRICS_NAMESPACE",
];

fn malformed() -> Builder {
    MALFORMED.into_iter().fold(LocalStack::builder(), |stack, (name, value)| stack.env(name, value))
}

fn left_out() -> Builder {
    MALFORMED.into_iter().fold(LocalStack::builder(), |stack, (name, _)| stack.env(name, ""))
}

fn without_sealing_keys() -> Builder {
    LocalStack::builder().env("CHATKIT_SEALING_KEYS", "")
}

/// Which function reads which variable, and how much it needs it: what the cell says.
struct Table(BTreeMap<(String, String), String>);

impl Table {
    fn read() -> Result<Self> {
        let page = text("docs/reference/configuration.md")?;
        let columns = markdown::columns(&page, "variable");
        let mut cells = BTreeMap::new();
        for row in markdown::table(&page, "variable") {
            ensure!(row.len() == columns.len(), "{} has {} cells", row[0], row.len());
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

    /// The variables of a function whose cells are such.
    fn of(&self, function: &str, such: impl Fn(&str) -> bool) -> BTreeSet<String> {
        let cells = self.0.iter().filter(|((f, _), cell)| f == function && such(cell));
        cells.map(|((_, variable), _)| variable.clone()).collect()
    }
}

// NAME: described: the template gives each function the variables that it reads
#[tokio::test]
async fn given() -> Result<()> {
    let (table, template) = (Table::read()?, Template::read()?);
    let packages: BTreeSet<String> = workspace().await?.functions.iter().cloned().collect();
    same(("functions/", &packages), ("docs/reference/configuration.md", &table.functions()))?;
    for function in template.functions()? {
        let given: BTreeSet<String> = template.environment(&function).into_keys().collect();
        let reads = table.of(function.package, |cell| !cell.is_empty());
        same(("template.yaml", &given), ("docs/reference/configuration.md", &reads))
            .context(function.id.to_owned())?;
    }
    Ok(())
}

// NAME: described: what is secret comes into the template by reference
#[tokio::test]
async fn by_reference() -> Result<()> {
    let (template, page) = (Template::read()?, text("docs/reference/configuration.md")?);
    for function in template.functions()? {
        for (variable, value) in template.environment(&function) {
            let paragraph = paragraph(&page, &variable)?;
            let (secret, referred) =
                (paragraph.contains("**Secret"), value.to_string().contains("{{resolve:secretsmanager:"));
            ensure!(secret == referred, "{}: {variable} is secret: {secret}, and is {value}", function.id);
        }
    }
    Ok(())
}

// NAME: described: every variable has its paragraph
#[tokio::test]
async fn paragraphs() -> Result<()> {
    let (page, table) = (text("docs/reference/configuration.md")?, Table::read()?);
    let headings = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
    let headings: BTreeSet<String> = headings.map(str::to_owned).collect();
    same(("the headings of docs/reference/configuration.md", &headings), ("its table", &table.variables()))?;
    let mentioned = markdown::table(&text("README.md")?, "variable");
    ensure!(!mentioned.is_empty(), "the README has no table of variables");
    for row in mentioned {
        ensure!(headings.contains(row[0].trim_matches('`')), "the README has {}", row[0]);
    }
    let tried = MALFORMED.iter().map(|(name, _)| *name).chain(TAKEN_AS_THEY_COME);
    same(("what is tried here", &tried.map(str::to_owned).collect()), ("the table", &table.variables()))
}

fn paragraph<'a>(page: &'a str, variable: &str) -> Result<&'a str> {
    let (_, rest) = page.split_once(&format!("\n### `{variable}`\n")).with_context(|| variable.to_owned())?;
    Ok(rest.split_once("\n##").map_or(rest, |(paragraph, _)| paragraph))
}

// NAME: described: each function reads the variables that it is said to
#[tokio::test]
async fn read() -> Result<()> {
    let stack = malformed().start().await?;
    refusing(stack, |cell| !cell.is_empty()).await
}

// NAME: described: each function needs the variables that it is said to
#[tokio::test]
async fn needed() -> Result<()> {
    let stack = left_out().start().await?;
    refusing(stack, |cell| cell == "●").await
}

/// Every function refuses to start, and names the variables that the table has such cells for.
async fn refusing(stack: LocalStack, such: impl Fn(&str) -> bool) -> Result<()> {
    let table = Table::read()?;
    ask_each(&stack, |_, _, status| {
        ensure!(status == 502, "started, and answered {status}");
        Ok(())
    })
    .await?;
    let named = mistakes(stack).await?;
    for function in table.functions() {
        let expected = &table.of(&function, &such) - &TAKEN_AS_THEY_COME.map(str::to_owned).into();
        let named = named.get(&function).with_context(|| format!("{function} named no mistake"))?;
        same(("its log", named), ("docs/reference/configuration.md", &expected)).context(function)?;
    }
    Ok(())
}

// NAME: described: sealing keys are needed with ChatKit
#[tokio::test]
async fn sealing_keys() -> Result<()> {
    let stack = without_sealing_keys().start().await?;
    let table = Table::read()?;
    let with_chatkit = "with `OPENAI_CHATKIT_SECRET`";
    let needs = |function: &str| !table.of(function, |cell| cell == with_chatkit).is_empty();
    ask_each(&stack, |function, _, status| {
        ensure!(needs(function) == (status == 502), "{function} answered {status}");
        Ok(())
    })
    .await?;
    for (function, named) in mistakes(stack).await? {
        let expected = table.of(&function, |cell| cell == with_chatkit);
        same(("its log", &named), ("docs/reference/configuration.md", &expected)).context(function)?;
    }
    Ok(())
}

// NAME: described: the issuer and the log level are read
#[tokio::test]
async fn issuer() -> Result<()> {
    let stack = LocalStack::builder()
        .env("SUPABASE_JWT_ISSUER", "https://elsewhere.example/auth/v1")
        .env("AWS_LAMBDA_LOG_LEVEL", "ERROR")
        .start()
        .await?;
    refusing_tokens("SUPABASE_JWT_ISSUER", &stack).await?;
    let lines = stack.final_logs().await;
    ensure!(lines.is_empty(), "no error happened, and only errors are to be logged: {lines:?}");
    Ok(())
}

// NAME: described: the audience is read
#[tokio::test]
async fn audience() -> Result<()> {
    let stack = LocalStack::builder().env("SUPABASE_JWT_AUDIENCE", "somebody-else").start().await?;
    refusing_tokens("SUPABASE_JWT_AUDIENCE", &stack).await?;
    stack.lambda().end().await;
    let wrote: BTreeSet<String> =
        stack.lambda().logs().lines().into_iter().map(|line| line.function).collect();
    let table = Table::read()?;
    let readers = table
        .functions()
        .into_iter()
        .filter(|function| table.of(function, |cell| !cell.is_empty()).contains("AWS_LAMBDA_LOG_LEVEL"));
    same(("the logs", &wrote), ("docs/reference/configuration.md", &readers.collect()))
}

async fn refusing_tokens(variable: &str, stack: &LocalStack) -> Result<()> {
    let table = Table::read()?;
    ask_each(stack, |function, _, status| {
        let reads = table.of(function, |cell| !cell.is_empty()).contains(variable);
        ensure!(reads == (status == 401), "{function} answered {status}");
        Ok(())
    })
    .await
}

// NAME: described: the JWT secret is read
#[tokio::test]
async fn jwt_secret() -> Result<()> {
    let stack = LocalStack::builder().legacy_tokens(true).start().await?;
    let table = Table::read()?;
    ask_each(&stack, |function, signer, status| {
        let reads = table.of(function, |cell| !cell.is_empty()).contains("SUPABASE_JWT_SECRET");
        let taken = status < 500 && status != 401;
        ensure!(taken == (signer == Signer::Es256 || reads), "{function} answered {status} to {signer:?}");
        Ok(())
    })
    .await
}

/// Asks every function, as a user whose token is signed with each kind of key, and has the status looked at.
async fn ask_each(stack: &LocalStack, look: impl Fn(&str, Signer, u16) -> Result<()>) -> Result<()> {
    let user = User::new(Uuid::new_v4(), OrgRole::Member);
    stack.put_user(&user).await?;
    // What a schedule or an operator asks is asked once, and answers nobody. An order is one that can be carried out.
    let order = json!({ "orgId": user.org_id, "userId": user.id, "requestedBy": "ops", "reason": "a test" });
    for package in Template::read()?.unrouted()? {
        let event = if package == "erase-user" { order.clone() } else { json!({}) };
        let function = stack.lambda().function(&package)?;
        let _ = function.invoke(&Uuid::new_v4().to_string(), "Root=1-0-0", event.to_string().into()).await;
    }
    for route in workspace().await?.routes.iter().filter(|route| route.method != Some(Method::OPTIONS)) {
        let path = route.path.replace("{id}", &Uuid::new_v4().to_string());
        let url = format!("{}{path}", stack.function_url(&route.function));
        for signer in [Signer::Es256, Signer::Hs256] {
            let token = stack.issuer().forge(&user).signed_by(signer).sign();
            let method = route.method.clone().context("a route for every method")?;
            let reply = http::client().request(method, &url).bearer_auth(token).send().await?;
            look(&route.function, signer, reply.status().as_u16())?;
        }
    }
    Ok(())
}

/// The variables that each function's log names as mistaken. A mistake that is none of a variable we know is one too many.
async fn mistakes(stack: LocalStack) -> Result<BTreeMap<String, BTreeSet<String>>> {
    stack.lambda().end().await;
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in stack.lambda().logs().lines() {
        let Some((_, list)) = line.text.split_once("mistake(s); ") else { continue };
        let variables = list.split("; ").filter_map(|mistake| mistake.split(' ').next());
        named.entry(line.function).or_default().extend(variables.map(str::to_owned));
    }
    Ok(named)
}
