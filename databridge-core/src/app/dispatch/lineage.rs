//! Calls on lots, runs, gates and flows.

use std::ops::ControlFlow::{Break, Continue};

use super::super::{App, Call};
use super::{Told, json};
use crate::control::ctx::Ctx;
use crate::domains::lineage::state::access;
use crate::domains::lineage::{Direction, Span};

impl App {
    pub(super) async fn answer_lineage(&self, ctx: &Ctx, call: Call) -> Told {
        let l = &self.lineage;
        let answer = match call {
            Call::LotRegister(new) => json(l.register(ctx, new).await?),
            Call::LotRegisterAll { lots } => json(l.register_all(ctx, lots).await?),
            Call::LotList(list) => json(l.list_lots(ctx, &list.into()).await?),
            Call::LotShow(c) => json(l.show_lot(ctx, &c.lot_code).await?),
            Call::LotHistory(h) => {
                json(l.lot_history(ctx, &h.lot_code, h.after.unwrap_or(-1), h.limit).await?)
            }
            Call::LotLink(link) => json(l.link(ctx, &link.lot_code, link.parent).await?),
            Call::LotMove(m) => {
                json(l.move_lot(ctx, &m.lot_code, m.status, m.note.as_deref()).await?)
            }
            Call::TraceAncestors(trace) => {
                let (code, span) = trace.split();
                json(l.trace(ctx, &code, Direction::Up, &span).await?)
            }
            Call::TraceDescendants(trace) => {
                let (code, span) = trace.split();
                json(l.trace(ctx, &code, Direction::Down, &span).await?)
            }
            Call::TraceBlast(trace) => {
                let (code, span) = trace.split();
                json(l.blast(ctx, &code, &span).await?)
            }
            Call::TraceCommon(t) => {
                let span = Span { after: t.after, limit: t.limit, ..Span::default() };
                json(l.common(ctx, &t.lot_code, &t.other, &span).await?)
            }
            Call::TracePath(t) => json(l.path(ctx, &t.lot_code, &t.other).await?),
            Call::TraceGraph(t) => {
                let span = Span { max_depth: t.max_depth, limit: t.limit, ..Span::default() };
                json(l.graph(ctx, &t.lot_code, t.direction, t.format, &span).await?)
            }
            other => return Ok(Continue(other)),
        };
        answer.map(Break)
    }

    pub(super) async fn answer_runs(&self, ctx: &Ctx, call: Call) -> Told {
        let l = &self.lineage;
        let answer = match call {
            Call::RunCreate(new) => json(l.create_run(ctx, new).await?),
            Call::RunList(list) => json(l.list_runs(ctx, &list.into()).await?),
            Call::RunShow(c) => json(l.show_run(ctx, &c.run_code).await?),
            Call::RunHistory(h) => {
                json(l.run_history(ctx, &h.run_code, h.after.unwrap_or(-1), h.limit).await?)
            }
            Call::RunAdvance(a) => json(l.advance_run(ctx, &a.run_code, a.to).await?),
            Call::RunSkip(s) => json(l.skip_step(ctx, &s.run_code, s.to, &s.reason).await?),
            Call::RunEnd(c) => json(l.end_run(ctx, &c.run_code).await?),
            Call::RunMove(m) => {
                json(l.move_run(ctx, &m.run_code, m.action, m.note.as_deref()).await?)
            }
            Call::QcDecide(new) => json(l.decide(ctx, new).await?),
            Call::GateList { flow } => json(l.gates(ctx, flow.as_deref()).await?),
            Call::QcList(list) => json(l.decisions(ctx, &list.into()).await?),
            other => return Ok(Continue(other)),
        };
        answer.map(Break)
    }

    pub(super) async fn answer_flows(&self, ctx: &Ctx, call: Call) -> Told {
        let l = &self.lineage;
        let answer = match call {
            Call::FlowDraft(new) => json(l.draft(ctx, new).await?),
            Call::FlowList {} => json(l.list_flows(ctx).await?),
            Call::FlowShow(v) => json(l.show_flow(ctx, &v.flow, v.version_num).await?),
            Call::FlowEdit(e) => {
                let number = e.version_num.unwrap_or_default();
                json(l.edit_flow(ctx, &e.flow, number, e.graph_schema).await?)
            }
            Call::FlowMove(m) => {
                let number = m.version_num.unwrap_or_default();
                json(l.move_flow(ctx, &m.flow, number, m.action, m.notes.as_deref()).await?)
            }
            Call::FlowNote(n) => {
                let number = n.version_num.unwrap_or_default();
                json(l.note_flow(ctx, &n.flow, number, &n.notes).await?)
            }
            Call::FlowDiff(d) => {
                let (from, to) = (d.from.unwrap_or_default(), d.to.unwrap_or_default());
                json(l.diff_flow(ctx, &d.flow, from, to).await?)
            }
            Call::ScenarioDefine(new) => json(l.define_scenario(ctx, new).await?),
            Call::ScenarioList {} => json(l.scenarios(ctx).await?),
            Call::ProfileList {} => json(l.profiles(ctx)?),
            Call::ProfileInstall { name } => json(l.install(ctx, &name).await?),
            Call::LineageAccess {} => json(access(ctx)),
            other => return Ok(Continue(other)),
        };
        answer.map(Break)
    }
}
