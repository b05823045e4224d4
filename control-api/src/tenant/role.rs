//! Roles of people in an organization.

/// Role of a person in an organization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// May do everything, including actions that remove the organization.
    Owner,
    /// May change settings.
    Admin,
    /// May read every call.
    Supervisor,
    /// May take and make calls.
    Agent,
    /// May read recordings and the audit log.
    Compliance,
    /// May read, but change nothing.
    Viewer,
}

impl Role {
    /// Returns the word for the role in the store and the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Admin => "admin",
            Role::Supervisor => "supervisor",
            Role::Agent => "agent",
            Role::Compliance => "compliance",
            Role::Viewer => "viewer",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Role, String> {
        [Role::Owner, Role::Admin, Role::Supervisor, Role::Agent, Role::Compliance, Role::Viewer]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("`{text}`: expected owner, admin, supervisor, agent, compliance or viewer"))
    }
}
