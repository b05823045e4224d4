//! People, their rights and their recorded actions, on both databases.

use std::time::Duration;

use futures_util::future::join_all;

use super::*;

fn by() -> By {
    By::system("test")
}

fn newcomer<'a>(email: &'a str, role: Role, sip_name: &'a str) -> NewMember<'a> {
    NewMember { email, name: "x", password_hash: "h", role, sip_name }
}

async fn founded(store: &Store, name: &str) -> (OrganizationId, UserId) {
    let email = format!("{name}@example.com");
    let founder = Founder::New(newcomer(&email, Role::Viewer, name));
    let (organization, owner) = store.organization_found(name, founder, false, by()).await.unwrap().unwrap();
    assert_eq!(owner.role, Role::Owner);
    (organization.id, owner.user)
}

pub(super) async fn one_sign_up_is_the_first(store: Store) {
    let all = (0..6).map(|n| {
        let store = store.clone();
        async move {
            let (name, email) = (format!("o{n}"), format!("u{n}@example.com"));
            let founder = Founder::New(newcomer(&email, Role::Owner, &name));
            store.organization_found(&name, founder, true, by()).await.unwrap().is_some()
        }
    });
    assert_eq!(join_all(all).await.into_iter().filter(|made| *made).count(), 1);
    assert_eq!(store.organization_list().await.unwrap().len(), 1);
    // A taken name leaves no partial data.
    let (_, user) = founded(&store, "acme").await;
    let again = store.organization_found("acme", Founder::Known(user, "acme2"), false, by()).await;
    assert!(matches!(again, Err(StoreError::Taken(_))));
    assert!(store.membership_organization("acme2").await.unwrap().is_none());
}

pub(super) async fn chains_are_intact(store: Store) {
    let (one, two) = (founded(&store, "one").await.0, founded(&store, "two").await.0);
    let all = (0..40).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let deed = |k: u32| (by(), Deed::new("test.do", format!("thing:{n}")).before(k).after(n));
            store.audit_append(if n % 2 == 0 { one } else { two }, &[deed(0), deed(1)]).await.unwrap();
        })
    });
    for done in all.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    for (organization, even) in [(one, true), (two, false)] {
        // The first row records the creation of the tenant.
        let whole = AuditProof { intact: true, checked: 41, first_broken: None };
        assert_eq!(store.audit_verify(organization).await.unwrap(), whole);
        let filter = AuditFilter { action: Some("test.do".into()), limit: 100, ..AuditFilter::default() };
        let rows = store.audit_list(organization, &filter).await.unwrap();
        let own = |row: &AuditRow| row.after.as_deref().unwrap().parse::<u32>().unwrap().is_multiple_of(2) == even;
        assert!(rows.len() == 40 && rows.iter().all(own));
        let below = AuditFilter { below: Some(rows[10].seq), from: Some(rows[39].at), ..filter };
        assert_eq!(store.audit_list(organization, &below).await.unwrap(), rows[11..]);
    }
    let organization = one;
    for sql in [
        "UPDATE audit_log SET action = 'x' WHERE organization_id = $1",
        "DELETE FROM audit_log WHERE organization_id = $1",
    ] {
        let text = store.db.run(organization, sql, &[organization.into()]).await.unwrap_err().to_string();
        assert!(text.contains("append-only"), "{text}");
    }
}

pub(super) async fn invitations_are_accepted_once(store: Store) {
    let ((mine, _), (theirs, _)) = (founded(&store, "mine").await, founded(&store, "theirs").await);
    let invite = async |hash: &str, email: &str| {
        let expires_at = now() + Duration::from_secs(60);
        let new = NewInvitation { email, role: Role::Agent, token_hash: hash, expires_at };
        store.invitation_create(mine, new, |_| true, &by()).await.unwrap().unwrap()
    };
    let first = invite("h1", "Guest@example.com").await;
    let second = invite("h2", "guest@example.com").await;
    assert!(store.invitation_by_hash("h1").await.unwrap().is_none(), "a newer invitation revokes it");
    assert_eq!(store.invitation_by_hash("h2").await.unwrap(), Some((mine, second.clone())));
    assert!(store.invitation_list(theirs, Place::LAST, 10).await.unwrap().is_empty());
    let revoked = store.invitation_revoke(theirs, second.id, |_| true, &by()).await.unwrap();
    assert_eq!(revoked, InvitationChange::NoSuch);
    let revoked = store.invitation_revoke(mine, second.id, |role| role != Role::Agent, &by()).await.unwrap();
    assert_eq!(revoked, InvitationChange::BeyondRights);
    let listed = store.invitation_list(mine, Place::LAST, 1).await.unwrap();
    assert_eq!(listed[0].id, second.id);
    let rest = store.invitation_list(mine, Place::of(listed[0].created_at, listed[0].id), 10).await.unwrap();
    assert_eq!(rest.iter().map(|one| one.id).collect::<Vec<_>>(), [first.id]);
    let taken = (0..4).map(|n| {
        let (store, second) = (store.clone(), second.clone());
        async move {
            let sip_name = format!("guest{n}");
            let joining = Joining::New(newcomer("guest@example.com", Role::Owner, &sip_name));
            store.invitation_accept(mine, &second, |_| true, joining, by()).await
        }
    });
    let taken = join_all(taken).await;
    let joined: Vec<&Membership> = taken.iter().flatten().flatten().map(|(_, membership)| membership).collect();
    assert_eq!(joined.len(), 1, "{taken:?}");
    assert_eq!(
        (joined[0].role, joined[0].organization),
        (Role::Agent, mine),
        "the invitation determines role and tenant"
    );
    // An existing account can join the other tenant too.
    let new = NewInvitation {
        email: "guest@example.com",
        role: Role::Viewer,
        token_hash: "h3",
        expires_at: now() + Duration::from_secs(60),
    };
    let third = store.invitation_create(theirs, new, |_| true, &by()).await.unwrap().unwrap();
    let joining = Joining::Known(joined[0].user, "guest-there");
    let gone = |inviter: &Inviter| *inviter == Inviter::Gone;
    assert!(store.invitation_accept(theirs, &third, gone, joining, by()).await.unwrap().is_some());
    assert_eq!(store.user_by_email("guest@example.com").await.unwrap().unwrap().1.organization, mine);
    let again = NewInvitation { token_hash: "h4", ..new };
    assert!(matches!(store.invitation_create(theirs, again, |_| true, &by()).await, Err(StoreError::Taken(_))));
}

pub(super) async fn tenants_have_an_owner(store: Store) {
    let ((mine, olga), (theirs, _)) = (founded(&store, "mine").await, founded(&store, "theirs").await);
    let (carl, _) = store.user_create(mine, newcomer("carl@example.com", Role::Owner, "carl")).await.unwrap();
    assert_eq!(store.member_list(mine, Place::FIRST, 10).await.unwrap().len(), 2);
    assert!(store.member_show(theirs, olga).await.unwrap().is_none());
    for change in [
        store.member_role_change(theirs, olga, Role::Viewer, |_| true, &by()).await.unwrap(),
        store.member_remove(theirs, olga, |_| true, &by()).await.unwrap(),
    ] {
        assert_eq!(change, MemberChange::NoSuch);
    }
    let asker = by();
    let down = |user| store.member_role_change(mine, user, Role::Viewer, |_| true, &asker);
    assert_eq!(
        store.member_role_change(mine, olga, Role::Viewer, |role| role != Role::Owner, &by()).await.unwrap(),
        MemberChange::BeyondRights
    );
    // Of two owners demoted at once, one stays owner.
    let (one, two) = tokio::join!(down(olga), down(carl.id));
    let refused = [one.unwrap(), two.unwrap()].into_iter().filter(|change| *change == MemberChange::LastOwner).count();
    assert_eq!(refused, 1);
    let members = store.member_list(mine, Place::FIRST, 10).await.unwrap();
    let viewer = members.iter().find(|member| member.role == Role::Viewer).unwrap().clone();
    let owner = members.iter().find(|member| member.role == Role::Owner).unwrap().clone();
    assert_eq!(store.member_remove(mine, owner.user, |_| true, &by()).await.unwrap(), MemberChange::LastOwner);
    let membership = store.membership_by_user(mine, viewer.user).await.unwrap().unwrap();
    store.session_open(&membership, "s", now() + Duration::from_secs(60), &by()).await.unwrap();
    assert!(store.member_show(mine, viewer.user).await.unwrap().unwrap().last_login_at.is_some());
    assert!(matches!(store.member_remove(mine, viewer.user, |_| true, &by()).await.unwrap(), MemberChange::Done(_)));
    assert!(store.session_by_hash("s").await.unwrap().is_none());
    assert!(store.user_by_email(&viewer.email).await.unwrap().is_none());
    // The account was removed, so its address is free again.
    store.user_create(mine, newcomer(&viewer.email, Role::Agent, &viewer.sip_name)).await.unwrap();
}

pub(super) async fn attempts_are_counted(store: Store) {
    let subjects = ["pair", "account"].map(str::to_owned);
    let window = Window::FromLatest(Duration::from_secs(900));
    let count = async |window, refuse: Option<Duration>| {
        let mut before = Vec::new();
        let judge = |seen: &[Attempts], _| {
            before = seen.iter().map(|seen| seen.count).collect();
            refuse.map_or(Ok(()), Err)
        };
        let counted = store.attempt_count(&subjects, window, judge).await.unwrap();
        assert_eq!(counted.err(), refuse);
        before
    };
    assert_eq!(count(window, None).await, [0, 0]);
    assert_eq!(count(window, None).await, [1, 1]);
    assert_eq!(count(window, Some(Duration::from_secs(7))).await, [2, 2]);
    assert_eq!(count(window, None).await, [2, 2], "a refused attempt is not counted");
    store.attempt_forgive("pair", &["account"]).await.unwrap();
    assert_eq!(count(window, None).await, [0, 2]);
    assert_eq!(store.attempt_prune(now()).await.unwrap(), 0);
    assert_eq!(store.attempt_prune(now() + Duration::from_secs(901)).await.unwrap(), 2);
    assert_eq!(count(Window::FromLatest(Duration::ZERO), None).await, [0, 0]);
    assert_eq!(count(window, None).await, [0, 0], "attempts outside the window do not count");
    // Simultaneous attempts are judged one after the other.
    let at_once = (0..20).map(|_| {
        let (store, subjects) = (store.clone(), subjects.clone());
        let judge = |seen: &[Attempts], _| if seen[0].count < 5 { Ok(()) } else { Err(Duration::from_secs(1)) };
        tokio::spawn(async move { store.attempt_count(&subjects, window, judge).await.unwrap().is_ok() })
    });
    let mut passed = 0;
    for attempt in at_once.collect::<Vec<_>>() {
        passed += u32::from(attempt.await.unwrap());
    }
    assert_eq!(passed, 4, "one attempt was counted before");
}

pub(super) async fn quotas_fill_up(store: Store) {
    let (hour, subject) = (Duration::from_secs(3_600), |name: &str, limit| (name.to_owned(), limit));
    let take = async |subjects: &[(String, u64)]| store.quota_take(subjects, hour).await.unwrap();
    for _ in 0..3 {
        assert_eq!(take(&[subject("a", 3), subject("b", 100)]).await, Ok(()));
    }
    let wait = take(&[subject("a", 3), subject("b", 100)]).await.unwrap_err();
    assert!(wait <= hour && wait > hour - Duration::from_secs(60), "{wait:?}");
    assert_eq!(take(&[subject("b", 4)]).await, Ok(()), "a refused use does not count against the other quotas");
    assert!(take(&[subject("b", 4)]).await.is_err());
}

pub(super) async fn sip_names_stay_reserved(store: Store) {
    let ((mine, _), (theirs, _)) = (founded(&store, "mine").await, founded(&store, "theirs").await);
    let (ana, _) = store.user_create(mine, newcomer("ana@example.com", Role::Agent, "ana")).await.unwrap();
    assert!(matches!(store.member_remove(mine, ana.id, |_| true, &by()).await.unwrap(), MemberChange::Done(_)));
    assert_eq!(store.membership_organization("ana").await.unwrap(), None);
    assert_eq!(store.sip_name_organization("ana").await.unwrap(), Some(mine));
    let taken = store.user_create(theirs, newcomer("eve@example.com", Role::Agent, "ana")).await;
    assert!(matches!(taken, Err(StoreError::Taken(_))));
    let eve =
        store.organization_found("third", Founder::New(newcomer("eve@example.com", Role::Owner, "ana")), false, by());
    assert!(matches!(eve.await, Err(StoreError::Taken(_))));
    assert!(store.organization_by_name("third").await.unwrap().is_none(), "a refused request leaves no partial data");
    store.user_create(mine, newcomer("bob@example.com", Role::Agent, "ana")).await.unwrap();
}

pub(super) async fn settings_and_keys_belong_to_a_tenant(store: Store) {
    let ((mine, user), (theirs, _)) = (founded(&store, "mine").await, founded(&store, "theirs").await);
    let new = NewKey {
        name: "k",
        prefix: "tdm_abc",
        key_hash: "hash",
        scopes: Some(vec!["calls.read"]),
        expires_at: Some(now() + Duration::from_secs(60)),
        created_by: Some(user),
    };
    let key = store.api_key_create(mine, new.clone(), &by()).await.unwrap();
    let found = store.api_key_by_hash("hash").await.unwrap().unwrap();
    assert_eq!((found.id, found.organization, found.scopes), (key.id, mine, Some(vec!["calls.read".into()])));
    assert!(store.api_key_list(theirs, Place::LAST, 10).await.unwrap().is_empty());
    assert!(!store.api_key_revoke(theirs, key.id, &by()).await.unwrap());
    assert!(store.api_key_list(mine, Place::LAST, 10).await.unwrap()[0].last_used_at.is_some());
    let over = NewKey { key_hash: "over", expires_at: Some(now()), ..new };
    store.api_key_create(mine, over, &by()).await.unwrap();
    assert!(store.api_key_by_hash("over").await.unwrap().is_none());
    assert!(store.api_key_revoke(mine, key.id, &by()).await.unwrap());
    assert!(store.api_key_by_hash("hash").await.unwrap().is_none());
    let change = OrganizationChange {
        limits: Some(std::collections::BTreeMap::from([("calls".to_owned(), 3)])),
        retention: Some(Retention { recordings_days: Some(30), events_days: None }),
        ..OrganizationChange::default()
    };
    let changed = store.organization_update(mine, change, &by()).await.unwrap().unwrap();
    assert_eq!(store.organization_settings(mine).await.unwrap(), Some(changed));
    assert_eq!(store.organization_settings(theirs).await.unwrap().unwrap().retention, Retention::default());
    let taken = OrganizationChange { name: Some("theirs".into()), ..OrganizationChange::default() };
    assert!(matches!(store.organization_update(mine, taken, &by()).await, Err(StoreError::Taken(_))));
    assert!(store.user_rename(mine, user, "New", &by()).await.unwrap());
    assert!(!store.user_rename(theirs, user, "Wrong", &by()).await.unwrap());
    assert_eq!(store.user_by_id(mine, user).await.unwrap().unwrap().name, "New");
    // A refreshed session has a new token, and its end cannot be extended for ever.
    let membership = store.membership_by_user(mine, user).await.unwrap().unwrap();
    let end = now() + Duration::from_secs(600);
    store.session_open(&membership, "old", now() + Duration::from_secs(60), &by()).await.unwrap();
    let longest = Duration::from_secs(120);
    assert!(store.session_refresh(theirs, "old", "new", end, longest).await.unwrap().is_none());
    let refreshed = store.session_refresh(mine, "old", "new", end, longest).await.unwrap().unwrap();
    assert!(refreshed < end && store.session_by_hash("old").await.unwrap().is_none());
    assert_eq!(store.session_by_hash("new").await.unwrap().unwrap().expires_at, refreshed);
}
