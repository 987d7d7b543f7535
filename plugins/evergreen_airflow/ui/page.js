"use strict";
// Airflow shows this page in a frame that may not navigate its parent; a link made in the parent may.
const airflow = window.parent === window ? window : window.parent;
const base = new URL(airflow.document.baseURI);
for (const link of document.querySelectorAll("a[data-airflow]")) {
  link.href = new URL(link.getAttribute("href"), base).href;
  link.addEventListener("click", (event) => {
    event.preventDefault();
    const real = airflow.document.createElement("a");
    real.href = link.href;
    airflow.document.body.append(real);
    real.click();
    real.remove();
  });
}
// Airflow's own choice of light or dark goes before the system's.
const theme = airflow.document.documentElement.classList;
for (const name of ["dark", "light"]) {
  if (theme.contains(name)) document.documentElement.classList.add(name);
}
const data = document.getElementById("charts");
if (data && window.Plotly) {
  const charts = JSON.parse(data.textContent);
  const style = getComputedStyle(document.documentElement);
  const ink = style.getPropertyValue("--ink"), line = style.getPropertyValue("--line");
  const layout = (title, more) => ({
    title: { text: title, font: { size: 14 } }, margin: { l: 55, r: 15, t: 35, b: 35 },
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", font: { color: ink },
    xaxis: { gridcolor: line, type: "date" }, yaxis: { gridcolor: line }, hovermode: "x unified",
    legend: { orientation: "h", y: 1.12, x: 1, xanchor: "right" }, ...more,
  });
  const marks = charts.promotions.map((one) => ({
    type: "line", x0: one.day, x1: one.day, yref: "paper", y0: 0, y1: 1,
    line: { width: 1, dash: "dot", color: one.action === "rollback" ? "#b3261e" : "#1b7f4b" },
  }));
  const options = { responsive: true, displaylogo: false };
  const at = charts.quality.days;
  Plotly.newPlot("quality", [
    { x: at, y: charts.quality.real, name: "observed", mode: "lines+markers", marker: { size: 4 }, connectgaps: false },
    { x: at, y: charts.quality.estimated, name: "estimated", mode: "lines+markers", marker: { size: 3 }, line: { dash: "dash" } },
  ], layout(charts.metric + "; dotted lines are promotions", { shapes: marks }), options);
  Plotly.newPlot("drift", [
    { x: charts.drift.days, y: charts.drift.share, text: charts.drift.column.map((name) =>
        String(name).replaceAll("<", "‹").replaceAll(">", "›").replaceAll("&", "+")),
      name: "largest share of a limit", mode: "lines+markers", marker: { size: 4 }, hovertemplate: "%{y:.0%} by %{text}" },
  ], layout("drift: share of a limit that was used", {
    shapes: [...marks, { type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1,
      line: { color: "#b3261e", width: 1 } }],
    yaxis: { gridcolor: line, tickformat: ".0%", rangemode: "tozero" },
  }), options);
}
