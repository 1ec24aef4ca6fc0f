//! `cargo admin members`.

use clap::{
    Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::{Value, json};
use shared::{
    auth::OrgRole,
    clients::supabase::ServiceClient,
    domain::administration::{self, Member},
};
use uuid::Uuid;

use crate::{
    arguments::{Organisation, parse_id},
    confirmation::Confirmation,
    deployment::{Deployment, call_deadline},
    failure::Failure,
    output::{Output, plain, table},
};

/// Number of members in a page of the database, its maximum.
const PAGE: u32 = 1000;

/// The roles, those with more rights first.
const ROLES: [&str; 4] = ["owner", "admin", "approver", "member"];

#[derive(Subcommand)]
pub enum Command {
    /// List the members of an organisation with their roles
    List {
        #[command(flatten)]
        organisation: Organisation,
    },
    /// Set the role of a user, who becomes a member if they do not belong to an organisation
    ///
    /// The user's token contains the role after its next refresh. A lower role must be confirmed, and
    /// the last owner keeps theirs.
    SetRole {
        /// The user
        #[arg(value_name = "USER", value_parser = parse_id)]
        user_id: Uuid,
        /// The role
        #[arg(value_name = "ROLE", value_parser = role_parser())]
        role: OrgRole,
        #[command(flatten)]
        organisation: Organisation,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// End the membership of a user
    ///
    /// The user's account and data stay; `users erase` deletes the data. The last owner cannot be
    /// removed.
    Remove {
        /// The user
        #[arg(value_name = "USER", value_parser = parse_id)]
        user_id: Uuid,
        #[command(flatten)]
        organisation: Organisation,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

impl Command {
    pub async fn run(self, deployment: &Deployment) -> Result<Output, Failure> {
        let client = deployment.service_client()?;
        match self {
            Self::List { organisation } => {
                let members = list(&client, organisation.id).await?;
                let text = list_text(&members);
                Ok(Output::new(json!({ "members": members }), text))
            }
            Self::SetRole { user_id, role, organisation, confirmation } => {
                set_role(&client, organisation.id, user_id, role, &confirmation).await
            }
            Self::Remove { user_id, organisation, confirmation } => {
                remove(&client, organisation.id, user_id, &confirmation).await
            }
        }
    }
}

fn role_parser() -> impl TypedValueParser<Value = OrgRole> {
    PossibleValuesParser::new(ROLES).try_map(|role| serde_json::from_value(Value::String(role)))
}

/// The name of a role, as in the API.
fn name(role: OrgRole) -> String {
    plain(&json!(role))
}

/// Whether the first role has fewer rights than the second one.
fn is_lower(one: OrgRole, other: OrgRole) -> bool {
    let rank = |role| ROLES.iter().position(|known| *known == name(role));
    rank(one) > rank(other)
}

async fn list(client: &ServiceClient, org_id: Uuid) -> Result<Vec<Member>, Failure> {
    let mut members = Vec::new();
    let mut after = None;
    loop {
        let page = administration::list_members(client, org_id, PAGE, after, call_deadline()).await?;
        members.extend(page.members);
        after = page.next;
        if after.is_none() {
            return Ok(members);
        }
    }
}

async fn set_role(
    client: &ServiceClient,
    org_id: Uuid,
    user_id: Uuid,
    role: OrgRole,
    confirmation: &Confirmation,
) -> Result<Output, Failure> {
    let member = administration::find_member(client, org_id, user_id, call_deadline()).await?;
    if let Some(member) = member.filter(|member| is_lower(role, member.role)) {
        confirmation.ask(&format!(
            "This lowers the role of {} in the organisation {org_id} from {} to {}.",
            person(&member),
            name(member.role),
            name(role)
        ))?;
    }
    let previous = administration::set_member_role(client, org_id, user_id, role, call_deadline()).await?;
    let text = match previous {
        None => format!("The user {user_id} is now a member of {org_id}, with the role {}.", name(role)),
        Some(previous) if previous == role => {
            format!("The user {user_id} already has the role {} in {org_id}.", name(role))
        }
        Some(previous) => {
            let (previous, role) = (name(previous), name(role));
            format!("The role of the user {user_id} in {org_id} is {role}. It was {previous}.")
        }
    };
    Ok(Output::new(json!({ "user_id": user_id, "role": role, "previous_role": previous }), text))
}

async fn remove(
    client: &ServiceClient,
    org_id: Uuid,
    user_id: Uuid,
    confirmation: &Confirmation,
) -> Result<Output, Failure> {
    if let Some(member) = administration::find_member(client, org_id, user_id, call_deadline()).await? {
        confirmation.ask(&format!(
            "This ends the membership of {} ({}) in the organisation {org_id}. The user can no longer open \
             or continue sessions, and agents are not called for the user.",
            person(&member),
            name(member.role)
        ))?;
    }
    let previous = administration::remove_member(client, org_id, user_id, call_deadline()).await?;
    let text = match previous {
        None => format!("The user {user_id} is not a member of {org_id}."),
        Some(previous) => {
            format!(
                "The user {user_id} is not a member of {org_id} any more. The role was {}.",
                name(previous)
            )
        }
    };
    Ok(Output::new(json!({ "user_id": user_id, "previous_role": previous }), text))
}

/// The name of a member in a question.
fn person(member: &Member) -> String {
    match &member.name {
        Some(name) => format!("{name} ({})", member.user_id),
        None => member.user_id.to_string(),
    }
}

fn list_text(members: &[Member]) -> String {
    if members.is_empty() {
        return "The organisation does not have members.".to_owned();
    }
    let header = ["user", "role", "state", "name"].map(str::to_owned);
    let row = |member: &Member| {
        let state = if member.active { "active" } else { "banned" };
        let shown = member.name.as_deref().unwrap_or("-");
        [member.user_id.to_string(), name(member.role), state.to_owned(), shown.to_owned()]
    };
    table([header].into_iter().chain(members.iter().map(row)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_parsed_and_ordered() {
        let parse = |role: &str| serde_json::from_value::<OrgRole>(role.into()).unwrap();
        assert_eq!(ROLES.map(parse).map(name), ROLES);
        assert!(is_lower(OrgRole::Member, OrgRole::Approver) && is_lower(OrgRole::Admin, OrgRole::Owner));
        assert!(!is_lower(OrgRole::Admin, OrgRole::Member) && !is_lower(OrgRole::Owner, OrgRole::Owner));
    }

    #[test]
    fn list_shows_banned_members() {
        let member = |active| Member {
            user_id: Uuid::nil(),
            role: OrgRole::Admin,
            name: Some("Ann".to_owned()),
            email: None,
            active,
        };
        let text = list_text(&[member(true), member(false)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "00000000-0000-0000-0000-000000000000  admin  active  Ann");
        assert_eq!(lines[2], "00000000-0000-0000-0000-000000000000  admin  banned  Ann");
    }
}
