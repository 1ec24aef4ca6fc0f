//! Calls RPCs as PostgREST does: as `service_role`, with named arguments from JSON, one transaction
//! each.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgConnection};

/// The functions that `service_role` can execute, by name.
#[derive(Clone, Debug)]
pub struct Catalogue(BTreeMap<String, Signature>);

/// The parameters of a function.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Names and types, in order.
    pub arguments: Vec<(String, String)>,
    /// Number of optional parameters, which come last.
    pub optional: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    pub state: String,
    pub message: String,
}

impl RpcError {
    /// Returns the HTTP status of an error that the function raised.
    pub fn status(&self) -> Option<u16> {
        self.state.strip_prefix("PT")?.parse().ok()
    }
}

impl Catalogue {
    pub async fn read(connection: &mut PgConnection) -> Result<Self> {
        let query = "select p.proname::text, coalesce(p.proargnames, '{}'),
                array(select format_type(t.type, null) from unnest(p.proargtypes::oid[]) with ordinality as t (type, place)
                      order by t.place),
                p.pronargdefaults::integer
            from pg_proc as p
            where p.pronamespace = 'public'::regnamespace and has_function_privilege('service_role', p.oid, 'execute')";
        let rows: Vec<(String, Vec<String>, Vec<String>, i32)> =
            sqlx::query_as(query).fetch_all(connection).await.context("reading the functions")?;
        let signature = |(name, names, types, optional): (String, Vec<String>, Vec<String>, i32)| {
            let optional = usize::try_from(optional).unwrap_or_default();
            (name, Signature { arguments: names.into_iter().zip(types).collect(), optional })
        };
        Ok(Self(rows.into_iter().map(signature).collect()))
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub fn signature(&self, name: &str) -> Option<&Signature> {
        self.0.get(name)
    }

    /// Calls a function with some of its arguments.
    pub async fn call(
        &self,
        connection: &mut PgConnection,
        name: &str,
        params: &Map<String, Value>,
    ) -> Result<Result<Value, RpcError>> {
        let signature = self.signature(name).with_context(|| format!("there is no function {name}"))?;
        let mut named = Vec::new();
        let mut texts = Vec::new();
        for (argument, kind) in &signature.arguments {
            if let Some(value) = params.get(argument) {
                texts.push(text(value, kind));
                named.push(format!("{argument} => ${}::text::{kind}", texts.len()));
            }
        }
        if let Some(unknown) =
            params.keys().find(|name| !signature.arguments.iter().any(|(known, _)| known == *name))
        {
            bail!("{name} has no argument {unknown}");
        }
        let statement = format!("select to_jsonb(f)::text from public.{name}({}) as f", named.join(", "));
        let mut query = sqlx::query_scalar(AssertSqlSafe(statement));
        for text in texts {
            query = query.bind(text);
        }
        let answer: Result<Option<String>, sqlx::Error> = query.fetch_one(connection).await;
        match answer {
            Ok(answer) => Ok(Ok(answer.map_or(Ok(Value::Null), |answer| serde_json::from_str(&answer))?)),
            Err(sqlx::Error::Database(error)) => Ok(Err(RpcError {
                state: error.code().unwrap_or_default().into_owned(),
                message: error.message().to_owned(),
            })),
            Err(error) => Err(error).with_context(|| format!("calling {name}")),
        }
    }
}

/// Converts a value to the text format of its SQL type; null stays null.
fn text(value: &Value, kind: &str) -> Option<String> {
    match value {
        Value::Null => None,
        value if kind == "jsonb" => Some(value.to_string()),
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            // Elements of an array literal are quoted like JSON strings.
            let items: Vec<String> = items
                .iter()
                .map(|item| if item.is_string() { item.to_string() } else { format!("\"{item}\"") })
                .collect();
            Some(format!("{{{}}}", items.join(",")))
        }
        value => Some(value.to_string()),
    }
}

/// Builds the arguments of a call.
pub fn arguments<const N: usize>(arguments: [(&str, Value); N]) -> Map<String, Value> {
    arguments.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
