//! Production runs: a pinned flow version, eleven steps, and who did which when.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::service::{acting, choices, none, step, system_step};
use super::state::{LAST_STEP, Permission, RUNS, RunAction, RunStatus, StepStatus};
use super::types::{List, check_limit, check_note, check_step, check_text, reason};
use super::{Error, Service, sql};
use crate::base::clock::Timestamp;
use crate::base::error::Error as AnyError;
use crate::base::id::OrgId;
use crate::control::commands::{Failure, Unit, moved};
use crate::control::ctx::Ctx;
use crate::control::db::Tx;
use crate::control::ledger::{self, Subject};

/// A run to be created.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// The flow it follows.
    pub flow: String,
    /// Which published version; the newest where none is given.
    #[serde(default)]
    pub version_num: Option<i64>,
    /// The same key is the same run, whoever asks; made up where none is given.
    #[serde(default)]
    pub run_key: Option<String>,
}

/// A run as people see it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunView {
    /// `RUN-00042`.
    pub run_code: String,
    /// Where it stands.
    pub status: RunStatus,
    /// The flow it follows; `None` for runs of before there were flows.
    pub flow: Option<String>,
    /// The version that it pinned.
    pub version_num: Option<i64>,
    /// 0 to 10.
    pub current_step_index: i64,
    /// Who created it.
    pub started_by: Option<String>,
    /// The same key is the same run.
    pub run_key: String,
    /// Why it is on HOLD.
    pub hold_reason: Option<String>,
    /// What it came to, once it ended.
    pub summary: Option<Json>,
    /// Grows with every change.
    pub version: i64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// What the caller can do with it.
    pub actions: Vec<RunAction>,
}

/// One step of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct StepView {
    /// Its id.
    pub id: Uuid,
    /// 0 to 10.
    pub step_index: i64,
    /// The node of the flow.
    pub node_id: String,
    /// Where it stands.
    pub status: StepStatus,
    /// When it was begun.
    pub started_at: Option<Timestamp>,
    /// When it was done.
    pub completed_at: Option<Timestamp>,
    /// Who executed it.
    pub operator: Option<String>,
    /// When the run was created.
    pub created_at: Timestamp,
}

/// A run with its steps and what was decided in it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: RunView,
    /// Its eleven steps.
    pub steps: Vec<StepView>,
    /// Decisions at its gates, newest first, up to 1,000.
    pub decisions: Vec<super::DecisionView>,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct RunFilter {
    /// In this status.
    pub status: Option<RunStatus>,
    /// Of this flow.
    pub flow: Option<String>,
    /// The last code of the page before.
    pub after: Option<String>,
    /// 1 to 200.
    pub limit: Option<i64>,
}

/// A run as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Run {
    pub id: Uuid,
    pub run_code: String,
    pub status: RunStatus,
    pub flow: Option<String>,
    pub version_num: Option<i64>,
    pub flow_version_id: Option<Uuid>,
    pub current_step_index: i64,
    pub started_by: Option<String>,
    pub run_key: String,
    pub hold_reason: Option<String>,
    pub summary: Option<Json>,
    pub version: i64,
    pub created_at: Timestamp,
    pub completed_at: Option<Timestamp>,
}

impl Run {
    pub(super) fn view(&self, ctx: &Ctx) -> RunView {
        RunView {
            run_code: self.run_code.clone(),
            status: self.status,
            flow: self.flow.clone(),
            version_num: self.version_num,
            current_step_index: self.current_step_index,
            started_by: self.started_by.clone(),
            run_key: self.run_key.clone(),
            hold_reason: self.hold_reason.clone(),
            summary: self.summary.clone(),
            version: self.version,
            created_at: self.created_at,
            completed_at: self.completed_at,
            actions: choices(ctx, &RUNS, self.status),
        }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject { kind: "run".into(), id: self.id, code: self.run_code.clone() }
    }
}

async fn find(tx: &mut Tx, org: OrgId, code: &str) -> Result<Run, AnyError> {
    Ok(sql::run_by_code(tx, org, code).await?.ok_or_else(|| none("run", code))?)
}

async fn save(unit: &mut Unit, run: &mut Run) -> Result<(), AnyError> {
    moved(sql::update_run(unit.tx(), run).await?, &run.run_code)?;
    run.version += 1;
    Ok(())
}

impl Service {
    /// Creates a run, IDLE, with its eleven steps. The same key is the same run.
    ///
    /// # Errors
    /// [`Error::NotPublished`], [`Error::NotFound`], [`Failure::KeyReused`], not
    /// permitted.
    pub async fn create_run(&self, ctx: &Ctx, new: NewRun) -> Result<RunView, AnyError> {
        if let Some(key) = &new.run_key {
            check_text("run_key", key, 200)?;
        }
        let mut unit = self.begin(ctx, Permission::CreateRun).await?;
        match self.try_create(&mut unit, ctx, &new).await {
            Ok((run, true)) => unit.commit(run.view(ctx)).await,
            Ok((run, false)) => Ok(run.view(ctx)),
            // The same key at the same time: the other one was first.
            Err(error)
                if error
                    .downcast_ref::<Error>()
                    .is_some_and(|e| matches!(e, Error::Exists { .. })) =>
            {
                drop(unit);
                let mut unit = self.begin(ctx, Permission::CreateRun).await?;
                let (run, _) = self.try_create(&mut unit, ctx, &new).await?;
                Ok(run.view(ctx))
            }
            Err(error) => Err(error),
        }
    }

    /// The run, and whether it is new.
    async fn try_create(
        &self,
        unit: &mut Unit,
        ctx: &Ctx,
        new: &NewRun,
    ) -> Result<(Run, bool), AnyError> {
        let (org, now) = (unit.org(), unit.now());
        if let Some(key) = &new.run_key
            && let Some(run) = sql::run_by_key(unit.tx(), org, key).await?
        {
            let same = run.flow.as_deref() == Some(new.flow.as_str())
                && new.version_num.is_none_or(|n| run.version_num == Some(n));
            return match same {
                true => Ok((run, false)),
                false => Err(Failure::KeyReused { key: key.clone() }.into()),
            };
        }
        let published = sql::published(unit.tx(), org, &new.flow).await?;
        let wanted = |n: i64| new.version_num.is_none_or(|number| number == n);
        let Some(version) = published.into_iter().find(|v| wanted(v.version_num)) else {
            // A flow that is not there is another matter than one that is not in force.
            let version = super::flows::version(unit, &new.flow, new.version_num).await?;
            return Err(Error::NotPublished { flow: version.name() }.into());
        };
        let id = Uuid::now_v7();
        let run = Run {
            id,
            run_code: format!("RUN-{:05}", unit.tx().next_number("run").await?),
            status: RUNS.initial,
            flow: Some(version.flow.clone()),
            version_num: Some(version.version_num),
            flow_version_id: Some(version.id),
            current_step_index: 0,
            started_by: Some(acting(ctx).to_owned()),
            run_key: new.run_key.clone().unwrap_or_else(|| id.to_string()),
            hold_reason: None,
            summary: None,
            version: 1,
            created_at: now,
            completed_at: None,
        };
        let exists = || Error::Exists { what: "run", name: run.run_key.clone() };
        sql::taken(sql::insert_run(unit.tx(), org, &run).await, exists)?;
        for step in &version.schema.steps {
            sql::insert_step(unit.tx(), run.id, step, now).await?;
        }
        let data = json!({ "status": run.status, "flow": version.name(), "run_key": run.run_key });
        unit.record(&run.subject(), "run.created", data);
        Ok((run, true))
    }

    /// The next step begins: `to` is its index, 0 begins the first and 11 ends the
    /// last without ending the run. Naming it lets of two operators who saw the same
    /// step only one advance it.
    ///
    /// # Errors
    /// [`Error::StepMoved`], [`Error::Blocked`], not permitted, illegal state.
    pub async fn advance_run(&self, ctx: &Ctx, code: &str, to: i64) -> Result<RunDetail, AnyError> {
        self.go_on(ctx, code, to, None).await
    }

    /// The same, where the step that is left was not done.
    ///
    /// # Errors
    /// As [`Service::advance_run`], [`Error::NoReason`].
    pub async fn skip_step(
        &self,
        ctx: &Ctx,
        code: &str,
        to: i64,
        why: &str,
    ) -> Result<RunDetail, AnyError> {
        let why = reason(code, "skip a step", Some(why))?;
        self.go_on(ctx, code, to, Some(why)).await
    }

    async fn go_on(
        &self,
        ctx: &Ctx,
        code: &str,
        to: i64,
        skipped: Option<&str>,
    ) -> Result<RunDetail, AnyError> {
        if to != LAST_STEP + 1 {
            check_step(to)?;
        }
        let mut unit = self.begin(ctx, Permission::AdvanceStep).await?;
        let org = unit.org();
        let mut run = find(unit.tx(), org, code).await?;
        let action = match (run.status, skipped) {
            (_, Some(_)) => RunAction::Skip,
            (RunStatus::Idle, None) => RunAction::Start,
            (_, None) => RunAction::Advance,
        };
        let row = step(ctx, &RUNS, run.status, action, false)?;
        self.leave(&mut unit, ctx, &mut run, to, skipped.is_some()).await?;
        run.status = row.to;
        save(&mut unit, &mut run).await?;
        let kind = match action {
            RunAction::Start => "run.started",
            RunAction::Skip => "run.step_skipped",
            _ => "run.advanced",
        };
        let data = json!({
            "status": run.status, "current_step_index": run.current_step_index, "to": to,
            "operator": acting(ctx), "reason": skipped,
        });
        unit.record(&run.subject(), kind, data);
        let detail = detail(unit.tx(), ctx, &run).await?;
        unit.commit(detail).await
    }

    /// Ends the current step and begins the one at `to`.
    async fn leave(
        &self,
        unit: &mut Unit,
        ctx: &Ctx,
        run: &mut Run,
        to: i64,
        skip: bool,
    ) -> Result<(), AnyError> {
        let now = unit.now();
        let current = run.current_step_index;
        let moved = |run: &Run| Error::StepMoved { run: run.run_code.clone(), current, asked: to };
        let operator = (ctx.actor.user_id, acting(ctx));
        if run.status == RunStatus::Idle {
            if to != 0 {
                return Err(moved(run).into());
            }
            sql::begin_step(unit.tx(), run.id, 0, operator, now).await?;
            return Ok(());
        }
        let here = sql::step_status(unit.tx(), run.id, current).await?;
        let done = matches!(here, StepStatus::Completed | StepStatus::Skipped);
        if to != current + 1 || (done && to > LAST_STEP) {
            return Err(moved(run).into());
        }
        self.check_gates(unit.tx(), run).await?;
        let end = if skip { StepStatus::Skipped } else { StepStatus::Completed };
        sql::end_step(unit.tx(), run.id, current, end, operator, now).await?;
        if to <= LAST_STEP {
            sql::begin_step(unit.tx(), run.id, to, operator, now).await?;
            run.current_step_index = to;
        }
        Ok(())
    }

    /// Whether the blocking gates of the current step let the run go on: each was
    /// passed in this run, or the lot that it held was released since, and its last
    /// word is no FAIL.
    async fn check_gates(&self, tx: &mut Tx, run: &Run) -> Result<(), AnyError> {
        let (Some(version), step) = (run.flow_version_id, run.current_step_index) else {
            return Ok(());
        };
        for (gate, verdict) in sql::blocking_gates(tx, run.id, version, step).await? {
            if let Some(why) = verdict {
                let run = run.run_code.clone();
                return Err(Error::Blocked { run, step, gate, why }.into());
            }
        }
        Ok(())
    }

    /// Pauses, resumes, aborts or archives a run; all but archiving says why.
    ///
    /// # Errors
    /// [`Error::NoReason`], [`Error::NotFound`], not permitted, illegal state.
    pub async fn move_run(
        &self,
        ctx: &Ctx,
        code: &str,
        action: RunAction,
        note: Option<&str>,
    ) -> Result<RunView, AnyError> {
        let (kind, why) = match action {
            RunAction::Hold => ("run.held", Some("hold a run")),
            RunAction::Resume => ("run.resumed", Some("resume a run")),
            RunAction::Abort => ("run.aborted", Some("abort a run")),
            RunAction::Archive => ("run.archived", None),
            other => {
                let reason = "hold, resume, abort or archive".to_owned();
                let value = other.to_string();
                return Err(Error::BadField { field: "action", value, reason }.into());
            }
        };
        let mut unit = self.begin(ctx, Permission::AdvanceStep).await?;
        let org = unit.org();
        let mut run = find(unit.tx(), org, code).await?;
        let row = step(ctx, &RUNS, run.status, action, false)?;
        let note = match why {
            Some(why) => Some(reason(code, why, note)?),
            None => check_note(note)?,
        };
        run.status = row.to;
        run.hold_reason = note.filter(|_| action == RunAction::Hold).map(str::to_owned);
        if action == RunAction::Abort {
            run.completed_at = Some(unit.now());
            run.summary = Some(self.close(&mut unit, &run).await?);
        }
        save(&mut unit, &mut run).await?;
        let data = json!({ "status": run.status, "note": note });
        unit.record(&run.subject(), kind, data);
        unit.commit(run.view(ctx)).await
    }

    /// Ends a run: what is not COMPLETED is SKIPPED.
    ///
    /// # Errors
    /// [`Error::Blocked`], [`Error::NotFound`], not permitted, illegal state.
    pub async fn end_run(&self, ctx: &Ctx, code: &str) -> Result<RunDetail, AnyError> {
        let mut unit = self.begin(ctx, Permission::AdvanceStep).await?;
        let org = unit.org();
        let mut run = find(unit.tx(), org, code).await?;
        let row = step(ctx, &RUNS, run.status, RunAction::End, false)?;
        self.check_gates(unit.tx(), &run).await?;
        run.status = row.to;
        run.completed_at = Some(unit.now());
        run.summary = Some(self.close(&mut unit, &run).await?);
        save(&mut unit, &mut run).await?;
        let data = json!({ "status": run.status, "summary": run.summary });
        unit.record(&run.subject(), "run.completed", data);
        let detail = detail(unit.tx(), ctx, &run).await?;
        unit.commit(detail).await
    }

    /// Skips what is not done and counts what was.
    async fn close(&self, unit: &mut Unit, run: &Run) -> Result<Json, AnyError> {
        let now = unit.now();
        sql::skip_rest(unit.tx(), run.id, now).await?;
        let steps = sql::steps(unit.tx(), run.id).await?;
        let count = |status| steps.iter().filter(|s| s.status == status).count();
        let seconds = now.since(run.created_at).as_secs();
        Ok(json!({
            "steps_completed": count(StepStatus::Completed),
            "steps_skipped": count(StepStatus::Skipped),
            "duration_seconds": seconds,
            "lots": sql::lots_of_run(unit.tx(), run.id).await?,
            "decisions": sql::decisions_of_run(unit.tx(), run.id).await?,
        }))
    }

    /// Everything about a run.
    ///
    /// # Errors
    /// [`Error::NotFound`], not permitted.
    pub async fn show_run(&self, ctx: &Ctx, code: &str) -> Result<RunDetail, AnyError> {
        let mut tx = self.look(ctx, Permission::ViewRuns).await?;
        let run = find(&mut tx, ctx.org, code).await?;
        detail(&mut tx, ctx, &run).await
    }

    /// Runs, newest first; archived ones only where they are asked for.
    ///
    /// # Errors
    /// [`Error::BadField`], not permitted.
    pub async fn list_runs(
        &self,
        ctx: &Ctx,
        filter: &RunFilter,
    ) -> Result<List<RunView>, AnyError> {
        let limit = check_limit(filter.limit, 50, 200)?;
        let mut tx = self.look(ctx, Permission::ViewRuns).await?;
        let runs = sql::list_runs(&mut tx, ctx.org, filter, limit + 1).await?;
        let views = runs.iter().map(|run| run.view(ctx)).collect();
        Ok(List::cut(views, limit, |run: &RunView| run.run_code.clone()))
    }

    /// What happened to a run after a position, oldest first.
    ///
    /// # Errors
    /// [`Error::NotFound`], not permitted.
    pub async fn run_history(
        &self,
        ctx: &Ctx,
        code: &str,
        after: i64,
        limit: Option<i64>,
    ) -> Result<Vec<ledger::Page>, AnyError> {
        let limit = check_limit(limit, 100, 1000)?;
        let mut tx = self.look(ctx, Permission::ViewRuns).await?;
        let run = find(&mut tx, ctx.org, code).await?;
        Ok(ledger::history(&mut tx, ctx.org, Some(run.id), after, limit).await?)
    }
}

async fn detail(tx: &mut Tx, ctx: &Ctx, run: &Run) -> Result<RunDetail, AnyError> {
    Ok(RunDetail {
        steps: sql::steps(tx, run.id).await?,
        decisions: sql::decisions(tx, ctx.org, None, Some(run.id), None, 1000).await?,
        run: run.view(ctx),
    })
}

/// The system puts a running run on HOLD: a control point failed.
pub(super) async fn hold(unit: &mut Unit, run_id: Uuid, why: &str) -> Result<(), AnyError> {
    let Some(mut run) = sql::run_by_id(unit.tx(), run_id).await? else { return Ok(()) };
    // One that does not run cannot be stopped.
    let Ok(to) = system_step(&RUNS, run.status, RunAction::Hold, false) else { return Ok(()) };
    run.status = to;
    run.hold_reason = Some(why.to_owned());
    save(unit, &mut run).await?;
    unit.record_as_system(&run.subject(), "run.held", json!({ "status": to, "note": why }));
    Ok(())
}
