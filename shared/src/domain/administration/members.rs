//! The members of an organisation and their roles.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    auth::OrgRole,
    clients::supabase::{Error, Rpc, ServiceClient},
    platform::http_client::Deadline,
};

/// A page of members.
#[derive(Debug, Deserialize)]
pub struct MemberPage {
    pub members: Vec<Member>,
    /// The id after which the next page begins.
    pub next: Option<Uuid>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Member {
    pub user_id: Uuid,
    pub role: OrgRole,
    /// The name that colleagues see on escalations: the operator's, otherwise the e-mail address.
    pub name: Option<String>,
    pub email: Option<String>,
    /// Whether the user is not banned.
    pub active: bool,
}

#[derive(Serialize)]
struct ListMembersCall {
    p_org_id: Uuid,
    p_limit: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_after: Option<Uuid>,
    #[serde(skip_serializing_if = "Option::is_none")]
    p_user_id: Option<Uuid>,
}

impl Rpc for ListMembersCall {
    const NAME: &'static str = "list_members";
    type Output = MemberPage;
}

/// The user's role before a change. `None` for a user who was not a member.
#[derive(Deserialize)]
struct PreviousRole {
    previous_role: Option<OrgRole>,
}

#[derive(Serialize)]
struct SetMemberRoleCall {
    p_org_id: Uuid,
    p_user_id: Uuid,
    p_role: OrgRole,
}

impl Rpc for SetMemberRoleCall {
    const NAME: &'static str = "set_member_role";
    type Output = PreviousRole;
}

#[derive(Serialize)]
struct RemoveMemberCall {
    p_org_id: Uuid,
    p_user_id: Uuid,
}

impl Rpc for RemoveMemberCall {
    const NAME: &'static str = "remove_member";
    type Output = PreviousRole;
}

/// Lists the members of an organisation by id: at most 1000, beginning after an id.
///
/// # Errors
/// Returns an error of Supabase.
pub async fn list_members(
    service_client: &ServiceClient,
    org_id: Uuid,
    limit: u32,
    after: Option<Uuid>,
    deadline: Deadline,
) -> Result<MemberPage, Error> {
    let call = ListMembersCall { p_org_id: org_id, p_limit: limit, p_after: after, p_user_id: None };
    service_client.rpc(&call, deadline).await
}

/// Returns a member of an organisation, or `None` if the user is not a member.
///
/// # Errors
/// Returns an error of Supabase.
pub async fn find_member(
    service_client: &ServiceClient,
    org_id: Uuid,
    user_id: Uuid,
    deadline: Deadline,
) -> Result<Option<Member>, Error> {
    let call = ListMembersCall { p_org_id: org_id, p_limit: 1, p_after: None, p_user_id: Some(user_id) };
    Ok(service_client.rpc(&call, deadline).await?.members.pop())
}

/// Sets the role of a user, who becomes a member if they do not belong to an organisation. Returns
/// the role before.
///
/// # Errors
/// Returns `user_not_found`, `member_of_other_organisation`, or `last_owner` if the organisation
/// would lose its last active owner.
pub async fn set_member_role(
    service_client: &ServiceClient,
    org_id: Uuid,
    user_id: Uuid,
    role: OrgRole,
    deadline: Deadline,
) -> Result<Option<OrgRole>, Error> {
    let call = SetMemberRoleCall { p_org_id: org_id, p_user_id: user_id, p_role: role };
    Ok(service_client.rpc(&call, deadline).await?.previous_role)
}

/// Ends a membership. Returns the role before, or `None` if the user was not a member.
///
/// # Errors
/// Returns `user_not_found`, or `last_owner` if the organisation would lose its last active owner.
pub async fn remove_member(
    service_client: &ServiceClient,
    org_id: Uuid,
    user_id: Uuid,
    deadline: Deadline,
) -> Result<Option<OrgRole>, Error> {
    let call = RemoveMemberCall { p_org_id: org_id, p_user_id: user_id };
    Ok(service_client.rpc(&call, deadline).await?.previous_role)
}
