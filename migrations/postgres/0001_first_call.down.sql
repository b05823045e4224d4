DROP FUNCTION look_up_any_user, look_up_memberships, look_up_organizations, look_up_organization, look_up_call, look_up_sip_name, look_up_api_key,
    look_up_session, look_up_login;
DROP TABLE recordings;
DROP TABLE translations;
DROP TABLE call_events;
DROP FUNCTION append_only;
DROP TABLE legs;
DROP TABLE calls;
DROP TABLE voice_configs;
DROP TABLE api_keys;
DROP TABLE sessions;
DROP TABLE memberships CASCADE;
DROP TABLE users;
DROP TABLE organizations;
DROP PROCEDURE tenant_table;
DROP FUNCTION current_organization;
