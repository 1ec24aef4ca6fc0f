//! Members of an organisation, whose rows are in `auth.users`. Each call leaves the members as they
//! are, because the tests do not restore that table.

use super::{Function, Tenant};

pub const FUNCTIONS: &[Function] = &[
    Function {
        name: "list_members",
        tenant: Tenant::Organisation,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_limit": 10 }"#,
        // The user, a colleague, the approver, the admin and the owner.
        response: r#"{ "members": [{}, {}, {}, {}, {}], "next": null }"#,
        postcondition: "",
    },
    Function {
        name: "list_members",
        tenant: Tenant::Organisation,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_limit": 10, "p_user_id": "{user}" }"#,
        response: r#"{ "members": [{ "user_id": "{user}", "role": "member", "active": true }], "next": null }"#,
        postcondition: "",
    },
    Function {
        name: "set_member_role",
        tenant: Tenant::ManagedPerson,
        setup: "",
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{user}", "p_role": "member" }"#,
        response: r#"{ "previous_role": "member" }"#,
        postcondition: "select chatkit_private.member_role('{org}', '{user}') = 'member'",
    },
    Function {
        name: "remove_member",
        tenant: Tenant::ManagedPerson,
        // Another member, with the id of one of the user's rows.
        setup: "insert into auth.users as u (id, raw_app_meta_data)
                 values ('{run}', jsonb_build_object('org_id', '{org}', 'org_role', 'approver'))
                 on conflict (id) do update set raw_app_meta_data = excluded.raw_app_meta_data",
        arguments: r#"{ "p_org_id": "{org}", "p_user_id": "{run}" }"#,
        response: r#"{ "previous_role": "approver" }"#,
        postcondition: "select chatkit_private.member_role('{org}', '{run}') is null
                          and count(*) = 5
                        from auth.users as u
                        where chatkit_private.member_role('{org}', u.id) is not null",
    },
];
