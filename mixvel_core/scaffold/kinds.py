"""What the templates of the nine kinds differ in, besides the component itself."""

from __future__ import annotations

from attrs import frozen

from mixvel_core.plugin.definition import Kind


@frozen(kw_only=True)
class Facts:
    """``hook``: the hook function. ``protocol``: what the component is. ``suite``: of the conformance kit.

    ``component``: the last word of its class. ``section``: how a recipe names it. The rest is the one option of the
    template: ``option``, ``type``, ``default``, ``check`` (of ``mixvel_core.plugin.options``) and ``doc``.
    """

    hook: str
    protocol: str
    suite: str
    component: str
    section: str
    option: str
    type: str
    default: str
    check: str
    bounds: str
    doc: str
    summary: str


FACTS: dict[Kind, Facts] = {
    "schedule": Facts(
        hook="mixvel_schedules",
        protocol="NoiseSchedule",
        suite="ScheduleSuite",
        component="Schedule",
        section="schedule: {use: NAME}",
        option="scale",
        type="float",
        default="1.0",
        check="above",
        bounds="0",
        doc="sigma at t = 1",
        summary="straight lines from data to noise of a chosen size",
    ),
    "expert": Facts(
        hook="mixvel_experts",
        protocol="ExpertFamily",
        suite="ExpertSuite",
        component="Family",
        section="expert: {use: NAME}",
        option="spread",
        type="float",
        default="1.0",
        check="above",
        bounds="0",
        doc="factor of the shard's standard deviations",
        summary="the denoiser of a Gaussian with the shard's mean and variances",
    ),
    "router": Facts(
        hook="mixvel_routers",
        protocol="RouterFamily",
        suite="RouterSuite",
        component="Family",
        section="routers: {mine: {use: NAME}}",
        option="width",
        type="float",
        default="0.5",
        check="above",
        bounds="0",
        doc="standard deviation of a shard's items around their mean",
        summary="the posterior of round Gaussians around the shards' means",
    ),
    "selector": Facts(
        hook="mixvel_selectors",
        protocol="Selector",
        suite="SelectorSuite",
        component="Selector",
        section="sample: {selector: {use: NAME}}",
        option="least",
        type="float",
        default="0.1",
        check="above_up_to",
        bounds="0, 1",
        doc="experts are asked whose weight is at least this part of the largest",
        summary="the experts whose weight is near the largest",
    ),
    "integrator": Facts(
        hook="mixvel_integrators",
        protocol="Integrator",
        suite="IntegratorSuite",
        component="Integrator",
        section="sample: {integrator: {use: NAME}}",
        option="stage",
        type="float",
        default="0.5",
        check="inside",
        bounds="0, 1",
        doc="where in the step the second evaluation is made",
        summary="two stages, second order; the second stage inside the step",
    ),
    "data": Facts(
        hook="mixvel_data",
        protocol="DataSource",
        suite="DataSourceSuite",
        component="Source",
        section="data: {use: NAME}",
        option="count",
        type="int",
        default="300",
        check="at_least",
        bounds="3",
        doc="items drawn",
        summary="points on three circles, labelled by circle",
    ),
    "partitioner": Facts(
        hook="mixvel_partitioners",
        protocol="Partitioner",
        suite="PartitionerSuite",
        component="Partitioner",
        section="partition: {use: NAME}",
        option="shards",
        type="int",
        default="2",
        check="at_least",
        bounds="1",
        doc="number K of shards",
        summary="shards of equal size, drawn at random",
    ),
    "metric": Facts(
        hook="mixvel_metrics",
        protocol="Metric",
        suite="MetricSuite",
        component="Metric",
        section="evaluate: {metrics: [{use: NAME}]}",
        option="width",
        type="float",
        default="1.0",
        check="above",
        bounds="0",
        doc="width of the kernel",
        summary="maximum mean discrepancy with a Gaussian kernel",
    ),
    "launcher": Facts(
        hook="mixvel_launchers",
        protocol="Launcher",
        suite="LauncherSuite",
        component="Launcher",
        section="launcher: {use: NAME}",
        option="threads",
        type="int",
        default="1",
        check="at_least",
        bounds="1",
        doc="threads of torch for each job",
        summary="trains in this process on the CPU, one job after another",
    ),
}
