"""report.html: one self-contained page."""

from core.journal.facts import StudyFacts
from core.report.charts import importance_svg, parallel_svg, progress_svg
from core.report.importance import importance
from core.report.story import config_text, tell


def report_html(facts: StudyFacts) -> str:
    """The page; needs no network, everything from outside is escaped."""
    from jinja2 import Environment, PackageLoader
    from markupsafe import Markup

    story, found = tell(facts), importance(facts)
    scored = [trial for trial in facts.study.trials if trial.number and trial.score is not None]
    # The charts are ours and matplotlib escapes the text in them.
    charts = {
        "progress": Markup(progress_svg(facts)),
        "parallel": Markup(parallel_svg(facts)) if len(scored) > 1 else "",
        "importance": Markup(importance_svg(found.shares)) if found.shares else "",
    }
    environment = Environment(
        loader=PackageLoader("core.report"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.get_template("report.html.j2")
    return page.render(story=story, charts=charts, importance=found, config=config_text(facts.study.config))
