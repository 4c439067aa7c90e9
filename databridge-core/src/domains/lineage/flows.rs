//! Flows and their versions: written, reviewed by somebody else, published, and from
//! then on never changed.

use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::schema::{Change, Schema, diff};
use super::service::{acting, choices, none, step};
use super::state::{Permission, VERSIONS, VersionAction, VersionStatus};
use super::types::{check_code, check_note};
use super::{Error, Service, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::control::commands::{Unit, moved};
use crate::control::ctx::{Authority, Ctx};
use crate::control::ledger::Subject;

/// A flow, or the next version of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewFlow {
    /// 1 to 64 of letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// What it says; without one, what its newest version says.
    #[serde(default)]
    pub graph_schema: Option<Schema>,
}

/// A version as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VersionView {
    /// `food`.
    pub flow: String,
    /// From 1.
    pub version_num: i64,
    /// Where it stands.
    pub status: VersionStatus,
    /// Who wrote it.
    pub author: String,
    /// What its reviewer noted.
    pub review_notes: Option<String>,
    /// Who looked at it.
    pub reviewed_by: Option<String>,
    /// Who put it into force.
    pub published_by: Option<String>,
    /// Whether a daemon saw to it that author and reviewer are two people.
    pub separate: Option<bool>,
    /// When it was begun.
    pub created_at: Timestamp,
    /// When it was put into force.
    pub published_at: Option<Timestamp>,
    /// What the caller can do with it.
    pub actions: Vec<VersionAction>,
}

/// A version with what it says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct VersionDetail {
    /// The version.
    #[serde(flatten)]
    pub version: VersionView,
    /// What it says.
    pub graph_schema: Schema,
}

/// A version as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub id: Uuid,
    pub flow: String,
    pub version_num: i64,
    pub status: VersionStatus,
    pub author: String,
    pub review_notes: Option<String>,
    pub reviewed_by: Option<String>,
    pub published_by: Option<String>,
    pub separate: Option<bool>,
    pub version: i64,
    pub created_at: Timestamp,
    pub published_at: Option<Timestamp>,
    pub schema: Schema,
}

impl Version {
    pub(super) fn name(&self) -> String {
        format!("{}@{}", self.flow, self.version_num)
    }

    fn view(&self, ctx: &Ctx) -> VersionView {
        VersionView {
            flow: self.flow.clone(),
            version_num: self.version_num,
            status: self.status,
            author: self.author.clone(),
            review_notes: self.review_notes.clone(),
            reviewed_by: self.reviewed_by.clone(),
            published_by: self.published_by.clone(),
            separate: self.separate,
            created_at: self.created_at,
            published_at: self.published_at,
            actions: choices(ctx, &VERSIONS, self.status),
        }
    }

    pub(super) fn detail(self, ctx: &Ctx) -> VersionDetail {
        VersionDetail { version: self.view(ctx), graph_schema: self.schema }
    }

    fn subject(&self) -> Subject {
        Subject { kind: "flow_version".into(), id: self.id, code: self.name() }
    }
}

/// The version of that number, or the newest.
pub(super) async fn version(
    unit: &mut Unit,
    flow: &str,
    number: Option<i64>,
) -> Result<Version, AnyError> {
    let org = unit.org();
    let found = sql::version(unit.tx(), org, flow, number).await?;
    found.ok_or_else(|| none("flow", &shown(flow, number)).into())
}

fn shown(flow: &str, number: Option<i64>) -> String {
    number.map_or_else(|| flow.to_owned(), |n| format!("{flow}@{n}"))
}

impl Service {
    /// Begins a flow, or the next draft of one.
    ///
    /// # Errors
    /// [`Error::BadField`], not permitted.
    pub async fn draft(&self, ctx: &Ctx, new: NewFlow) -> Result<VersionDetail, AnyError> {
        check_code("name", &new.name)?;
        if let Some(schema) = &new.graph_schema {
            schema.check()?;
        }
        let mut unit = self.begin(ctx, Permission::DesignFlow).await?;
        let version = draft(&mut unit, new).await?;
        let detail = version.detail(ctx);
        unit.commit(detail).await
    }

    /// Writes a draft anew. In REVIEW only its notes change, later nothing.
    ///
    /// # Errors
    /// [`Error::Immutable`], [`Error::BadField`], [`Error::NotFound`], not permitted.
    pub async fn edit_flow(
        &self,
        ctx: &Ctx,
        flow: &str,
        number: i64,
        schema: Schema,
    ) -> Result<VersionDetail, AnyError> {
        schema.check()?;
        let mut unit = self.begin(ctx, Permission::DesignFlow).await?;
        let mut version = version(&mut unit, flow, Some(number)).await?;
        if version.status != VersionStatus::Draft {
            return Err(immutable(&version, "only a draft's graph changes").into());
        }
        let changes = diff(&version.schema, &schema);
        version.schema = schema;
        // Whoever wrote last is its author: what they wrote is what somebody else reviews.
        version.author = acting(ctx).to_owned();
        moved(sql::update_draft(unit.tx(), &version).await?, &version.name())?;
        unit.record(&version.subject(), "flow_version.edited", json!({ "changes": changes }));
        let detail = version.detail(ctx);
        unit.commit(detail).await
    }

    /// Asks for review, publishes or deprecates; `notes` are kept where it is
    /// reviewed.
    ///
    /// # Errors
    /// [`Error::SeparationOfDuties`], [`Error::NotFound`], not permitted, illegal
    /// state.
    pub async fn move_flow(
        &self,
        ctx: &Ctx,
        flow: &str,
        number: i64,
        action: VersionAction,
        notes: Option<&str>,
    ) -> Result<VersionView, AnyError> {
        let notes = check_note(notes)?;
        let mut unit = self.begin(ctx, Permission::DesignFlow).await?;
        let mut version = version(&mut unit, flow, Some(number)).await?;
        let row = step(ctx, &VERSIONS, version.status, action, false)?;
        let reviewed = row.from == VersionStatus::Review;
        if reviewed && let Some(notes) = notes {
            version.review_notes = Some(notes.to_owned());
        }
        if action == VersionAction::Publish {
            publish(&mut unit, ctx, &mut version).await?;
        } else if reviewed {
            version.reviewed_by = Some(acting(ctx).to_owned());
        }
        version.status = row.to;
        save(&mut unit, &mut version).await?;
        let kind = match action {
            VersionAction::RequestReview => "flow_version.review_requested",
            VersionAction::Publish => "flow_version.published",
            VersionAction::Deprecate => "flow_version.deprecated",
        };
        let data =
            json!({ "status": version.status, "notes": notes, "separate": version.separate });
        unit.record(&version.subject(), kind, data);
        unit.commit(version.view(ctx)).await
    }

    /// What a reviewer has to say, without deciding yet.
    ///
    /// # Errors
    /// [`Error::Immutable`], [`Error::NotFound`], [`Error::NoReason`], not permitted.
    pub async fn note_flow(
        &self,
        ctx: &Ctx,
        flow: &str,
        number: i64,
        notes: &str,
    ) -> Result<VersionView, AnyError> {
        let notes = super::types::reason(&shown(flow, Some(number)), "review", Some(notes))?;
        let mut unit = self.begin(ctx, Permission::ApproveFlow).await?;
        let mut version = version(&mut unit, flow, Some(number)).await?;
        if version.status != VersionStatus::Review {
            return Err(immutable(&version, "notes are written in REVIEW").into());
        }
        version.review_notes = Some(notes.to_owned());
        version.reviewed_by = Some(acting(ctx).to_owned());
        save(&mut unit, &mut version).await?;
        unit.record(&version.subject(), "flow_version.noted", json!({ "notes": notes }));
        unit.commit(version.view(ctx)).await
    }

    /// A version with what it says; the newest where no number is given.
    ///
    /// # Errors
    /// [`Error::NotFound`], not permitted.
    pub async fn show_flow(
        &self,
        ctx: &Ctx,
        flow: &str,
        number: Option<i64>,
    ) -> Result<VersionDetail, AnyError> {
        let mut tx = self.look(ctx, Permission::ViewRuns).await?;
        let version = sql::version(&mut tx, ctx.org, flow, number)
            .await?
            .ok_or_else(|| none("flow", &shown(flow, number)))?;
        Ok(version.detail(ctx))
    }

    /// Every version of every flow, newest first; up to 1,000.
    ///
    /// # Errors
    /// Not permitted.
    pub async fn list_flows(&self, ctx: &Ctx) -> Result<Vec<VersionView>, AnyError> {
        let mut tx = self.look(ctx, Permission::ViewRuns).await?;
        let versions = sql::versions(&mut tx, ctx.org, 1000).await?;
        Ok(versions.iter().map(|v| v.view(ctx)).collect())
    }

    /// What changed from one version to another.
    ///
    /// # Errors
    /// [`Error::NotFound`], not permitted.
    pub async fn diff_flow(
        &self,
        ctx: &Ctx,
        flow: &str,
        from: i64,
        to: i64,
    ) -> Result<Vec<Change>, AnyError> {
        let before = self.show_flow(ctx, flow, Some(from)).await?;
        let after = self.show_flow(ctx, flow, Some(to)).await?;
        Ok(diff(&before.graph_schema, &after.graph_schema))
    }
}

fn immutable(version: &Version, rule: &'static str) -> Error {
    use crate::workflow::Symbol;
    Error::Immutable { version: version.name(), status: version.status.name(), rule }
}

async fn save(unit: &mut Unit, version: &mut Version) -> Result<(), AnyError> {
    moved(sql::update_version(unit.tx(), version).await?, &version.name())?;
    version.version += 1;
    Ok(())
}

/// Makes the next draft; also where a profile is installed.
pub(super) async fn draft(unit: &mut Unit, new: NewFlow) -> Result<Version, AnyError> {
    let (org, now) = (unit.org(), unit.now());
    let newest = sql::version(unit.tx(), org, &new.name, None).await?;
    let schema = match (new.graph_schema, &newest) {
        (Some(schema), _) => schema,
        (None, Some(newest)) => newest.schema.clone(),
        (None, None) => {
            let reason = "a new flow needs one".to_owned();
            let field = "graph_schema";
            return Err(Error::BadField { field, value: String::new(), reason }.into());
        }
    };
    let (actor, author) = (unit.ctx().actor.user_id, acting(unit.ctx()).to_owned());
    let definition = sql::definition(unit.tx(), org, &new.name, actor, now).await?;
    let version = Version {
        id: Uuid::now_v7(),
        flow: new.name,
        version_num: newest.map_or(1, |v| v.version_num + 1),
        status: VERSIONS.initial,
        author,
        review_notes: None,
        reviewed_by: None,
        published_by: None,
        separate: None,
        version: 1,
        created_at: now,
        published_at: None,
        schema,
    };
    let exists = || Error::Exists { what: "flow", name: version.name() };
    sql::taken(sql::insert_version(unit.tx(), definition, &version).await, exists)?;
    unit.record(&version.subject(), "flow_version.drafted", json!({ "author": version.author }));
    Ok(version)
}

/// Puts a version into force: somebody else than its author does, its gates are
/// written down, and what was in force before is deprecated.
async fn publish(unit: &mut Unit, ctx: &Ctx, version: &mut Version) -> Result<(), AnyError> {
    let (org, now, by) = (unit.org(), unit.now(), acting(ctx).to_owned());
    if by == version.author {
        return Err(Error::SeparationOfDuties { version: version.name(), username: by }.into());
    }
    version.reviewed_by = Some(by.clone());
    version.published_by = Some(by);
    version.published_at = Some(now);
    // Whoever opens the files can be anybody: that is no separation.
    version.separate = Some(ctx.actor.authority == Authority::Daemon);
    for gate in &version.schema.gates {
        sql::insert_gate(unit.tx(), org, version.id, gate).await?;
    }
    for mut old in sql::published(unit.tx(), org, &version.flow).await? {
        old.status = VersionStatus::Deprecated;
        save(unit, &mut old).await?;
        let data = json!({ "status": old.status, "replaced_by": version.name() });
        unit.record(&old.subject(), "flow_version.deprecated", data);
    }
    Ok(())
}
