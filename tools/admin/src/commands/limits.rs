//! `cargo admin limits`.

use clap::{ArgGroup, Subcommand};
use serde_json::{Map, Value};
use shared::{
    domain::administration::{self, OrgLimits},
    error::FieldError,
};

use crate::{
    arguments::Organisation,
    deployment::{Deployment, call_deadline},
    failure::Failure,
    output::{Output, plain, two_columns},
};

#[derive(Subcommand)]
pub enum Command {
    /// Show the limits of an organisation
    Show {
        #[command(flatten)]
        organisation: Organisation,
    },
    /// Set limits of an organisation. The others stay as they are
    ///
    /// docs/reference/limits.md lists the limits. They apply from the next request.
    Set {
        /// A limit and its value, for example events_per_minute_user=1200
        #[arg(required = true, value_name = "LIMIT=NUMBER", value_parser = parse_limit)]
        limits: Vec<(String, i32)>,
        #[command(flatten)]
        organisation: Organisation,
    },
    /// Reset limits of an organisation to their defaults
    #[command(group = ArgGroup::new("which").required(true).args(["limits", "all"]))]
    Reset {
        /// A limit, for example events_per_minute_user
        #[arg(value_name = "LIMIT")]
        limits: Vec<String>,
        /// Reset all limits
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        organisation: Organisation,
    },
}

impl Command {
    pub async fn run(self, deployment: &Deployment) -> Result<Output, Failure> {
        let (organisation, limits, reset) = match self {
            Self::Show { organisation } => (organisation, OrgLimits::default(), Vec::new()),
            Self::Set { limits, organisation } => (organisation, read_limits(limits)?, Vec::new()),
            Self::Reset { limits, all, organisation } => {
                (organisation, OrgLimits::default(), read_names(limits, all)?)
            }
        };
        let client = deployment.service_client()?;
        let answer =
            administration::set_org_limits(&client, organisation.id, &limits, &reset, call_deadline())
                .await?;
        let text = text(&answer["limits"]);
        Ok(Output::new(answer, text))
    }
}

fn parse_limit(text: &str) -> Result<(String, i32), String> {
    let (name, value) = text.split_once('=').ok_or("must be LIMIT=NUMBER")?;
    Ok((name.to_owned(), value.parse().map_err(|_| "the value must be a whole number")?))
}

fn read_limits(limits: Vec<(String, i32)>) -> Result<OrgLimits, Failure> {
    let mut fields = Map::new();
    for (name, value) in limits {
        if fields.insert(name.clone(), value.into()).is_some() {
            return Err(Failure::not_attempted(format!("The limit {name} is given twice.")));
        }
    }
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| Failure::not_attempted(FieldError::parsing("", &error).detail))
}

/// The limits to reset: those that are named, or all.
fn read_names(limits: Vec<String>, all: bool) -> Result<Vec<String>, Failure> {
    let known = OrgLimits::names().map_err(|error| Failure::not_attempted(error.to_string()))?;
    if all {
        return Ok(known);
    }
    match limits.iter().find(|name| !known.contains(name)) {
        Some(unknown) => {
            let known = known.join(", ");
            Err(Failure::not_attempted(format!("There is no limit {unknown}. The limits are: {known}.")))
        }
        None => Ok(limits),
    }
}

fn text(limits: &Value) -> String {
    let fields = limits.as_object().into_iter().flatten().filter(|(name, _)| *name != "org_id");
    let rows = two_columns(fields.map(|(name, value)| (name.as_str(), plain(value))));
    format!("The limits of {} are:\n{rows}", plain(&limits["org_id"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_name() {
        let limit = parse_limit("keys_per_day_user=100").unwrap();
        assert_eq!(read_limits(vec![limit.clone()]).unwrap().keys_per_day_user, Some(100));
        let unknown = read_limits(vec![("keys".to_owned(), 1)]).unwrap_err().to_string();
        assert!(
            unknown.contains("unknown field `keys`") && unknown.contains("keys_per_day_user"),
            "{unknown}"
        );
        assert!(read_limits(vec![limit.clone(), limit]).unwrap_err().to_string().contains("twice"));
        assert!(parse_limit("keys_per_day_user").is_err() && parse_limit("keys_per_day_user=x").is_err());
    }

    #[test]
    fn limits_are_reset_by_name_or_all() {
        let named = vec!["keys_per_day_user".to_owned()];
        assert_eq!(read_names(named.clone(), false).unwrap(), named);
        assert_eq!(read_names(Vec::new(), true).unwrap().len(), 13);
        let unknown = read_names(vec!["keys".to_owned()], false).unwrap_err().to_string();
        assert!(unknown.contains("keys.") && unknown.contains("keys_per_day_user"), "{unknown}");
    }
}
