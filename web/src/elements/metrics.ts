import { css, html, svg, type TemplateResult } from "lit";
import type { Metrics } from "../core/model.js";
import type { TextKey } from "../texts/en.js";
import { CksElement } from "./element.js";
import { base } from "./styles.js";
import { common } from "../texts/en/common.js";
import { metrics as figures } from "../texts/en/metrics.js";
import type { TextTable } from "../texts/texts.js";

type Bucket = Metrics["buckets"][number];

/** Figures of one chart, as bars side by side. */
interface Series {
  title: TextKey;
  bars: { label: TextKey; of: (bucket: Bucket) => number | null }[];
  format: (figure: number) => string;
}

const WIDTH = 640;
const HEIGHT = 160;

/** The figures of the organisation: the most important ones, charts, and each chart as a table. */
export class CksMetrics extends CksElement {
  static override texts: TextTable = { ...common, ...figures };

  static override properties = {
    metrics: { attribute: false },
    failure: { attribute: false },
  };

  static override styles = [
    base,
    css`
      :host {
        --_second: var(--cks-chart-second, light-dark(#0d8a83, #4fd1c5));
        container-type: inline-size;
      }
      .tiles {
        display: grid;
        gap: 0.75rem;
        grid-template-columns: repeat(auto-fit, minmax(min(9.5rem, 100%), 1fr));
      }
      .tiles div {
        padding: 0.875rem 1rem;
      }
      .tiles dt {
        color: var(--_muted);
        font-size: 0.8125rem;
      }
      .tiles dd {
        font-size: 1.5rem;
        font-weight: 680;
        letter-spacing: -0.02em;
      }
      .charts {
        align-items: start;
        display: grid;
        gap: 1rem;
        grid-template-columns: repeat(auto-fit, minmax(min(24rem, 100%), 1fr));
      }
      .chart {
        block-size: auto;
        display: block;
        inline-size: 100%;
      }
      .chart rect {
        fill: var(--_accent);
      }
      .chart .second {
        fill: var(--_second);
      }
      .chart .third {
        fill: var(--_control-line);
      }
      .chart line {
        stroke: var(--_line);
      }
      .axis {
        display: flex;
        justify-content: space-between;
      }
      .key {
        align-items: center;
        display: inline-flex;
        gap: 0.375rem;
      }
      .key svg {
        block-size: 0.75rem;
        inline-size: 0.75rem;
      }
      .scroll {
        overflow-x: auto;
      }
      table {
        border-collapse: collapse;
        font-size: 0.875rem;
        inline-size: 100%;
      }
      th,
      td {
        border-block-end: 1px solid var(--_line);
        padding: 0.5rem 0.75rem;
        text-align: end;
      }
      th:first-child {
        text-align: start;
      }
      th {
        font-weight: 600;
      }
      @media (forced-colors: active) {
        .chart rect {
          fill: CanvasText;
        }
        .chart .second {
          fill: Highlight;
        }
        .chart .third {
          fill: GrayText;
        }
      }
    `,
  ];

  declare metrics: Metrics | undefined;
  declare failure: unknown;

  override render(): TemplateResult {
    const { metrics } = this;
    return html`<section class="stack" aria-labelledby="title">
      <div class="row spread">
        <h2 id="title">${this.t("metrics.title")}</h2>
        ${
          metrics
            ? html`<p class="muted">
                ${this.t("metrics.asOf", { date: this.formatDateTime(metrics.asOf) })}
              </p>`
            : ""
        }
      </div>
      ${this.failureNotice(this.failure)}
      ${
        metrics
          ? [this.#tiles(metrics), this.#charts(metrics), this.#load(metrics)]
          : html`<p class="muted">${this.t("metrics.empty")}</p>`
      }
    </section>`;
  }

  #tiles({ total }: Metrics): TemplateResult {
    const { sessions, cohort, serviceLevel, timeToDecision, automation } = total;
    const tiles: [TextKey, string][] = [
      ["metrics.sessions", this.#count(sessions.created)],
      ["metrics.escalationRate", this.#rate(cohort.escalationRate)],
      ["metrics.cancelRate", this.#rate(cohort.cancelRate)],
      ["metrics.timeToDecision", this.#seconds(timeToDecision.p50)],
      ["metrics.serviceLevel", this.#rate(serviceLevel.rate)],
      ["metrics.automationRate", this.#rate(automation.rate)],
    ];
    return html`<dl class="tiles">
      ${tiles.map(
        ([key, figure]) =>
          html`<div class="panel">
            <dt>${this.t(key)}</dt>
            <dd class="number">${figure}</dd>
          </div>`,
      )}
    </dl>`;
  }

  #charts({ buckets }: Metrics): TemplateResult | "" {
    if (buckets.length === 0) return "";
    const count = (figure: number) => this.#count(figure);
    const seconds = (figure: number) => this.#seconds(figure);
    const series: Series[] = [
      {
        title: "metrics.sessions",
        format: count,
        bars: [
          { label: "metrics.created", of: ({ sessions }) => sessions.created },
          { label: "metrics.escalated", of: ({ cohort }) => cohort.escalated },
          { label: "metrics.cancelled", of: ({ cohort }) => cohort.cancelled },
        ],
      },
      {
        title: "metrics.timeToDecision",
        format: seconds,
        bars: [
          { label: "metrics.median", of: ({ timeToDecision }) => timeToDecision.p50 },
          { label: "metrics.p90", of: ({ timeToDecision }) => timeToDecision.p90 },
        ],
      },
      {
        title: "metrics.timeToEscalation",
        format: seconds,
        bars: [
          { label: "metrics.median", of: ({ timeToEscalation }) => timeToEscalation.p50 },
          { label: "metrics.p90", of: ({ timeToEscalation }) => timeToEscalation.p90 },
        ],
      },
    ];
    return html`<div class="charts">${series.map((one) => this.#chart(one, buckets))}</div>`;
  }

  #chart({ title, bars, format }: Series, buckets: readonly Bucket[]): TemplateResult {
    const figures = buckets.map((bucket) => bars.map(({ of }) => of(bucket)));
    const max = Math.max(0, ...figures.flat().map((figure) => figure ?? 0));
    const slot = WIDTH / buckets.length;
    const width = Math.max(1, (slot * 0.8) / bars.length);
    const first = this.#day(buckets[0]);
    const last = this.#day(buckets.at(-1));
    const name = this.t(title);
    const text = this.t("metrics.chart", { title: name, from: first, to: last, max: format(max) });
    return html`<figure class="panel stack">
      <figcaption class="row spread">
        <h3>${name}</h3>
        <span class="row muted">
          ${bars.map(
            ({ label }, index) =>
              html`<span class="key">
                <svg viewBox="0 0 10 10" class="chart" aria-hidden="true">
                  <rect class=${RANKS[index] ?? ""} width="10" height="10" rx="2"></rect></svg
                >${this.t(label)}
              </span>`,
          )}
        </span>
      </figcaption>
      <div>
        <svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${text}>
          <line x1="0" x2=${WIDTH} y1=${HEIGHT - 0.5} y2=${HEIGHT - 0.5}></line>
          ${figures.flatMap((row, bucket) =>
            row.map((figure, bar) => {
              const height = max > 0 ? ((figure ?? 0) / max) * (HEIGHT - 8) : 0;
              const x = bucket * slot + slot * 0.1 + bar * width;
              return svg`<rect class=${RANKS[bar] ?? ""} x=${x} y=${HEIGHT - height}
                width=${width * 0.92} height=${height} rx=${Math.min(2, width / 3)}></rect>`;
            }),
          )}
        </svg>
        <p class="axis muted"><span>${first}</span><span>${last}</span></p>
      </div>
      <details>
        <summary>${this.t("metrics.table")}<span class="hidden-text">: ${name}</span></summary>
        <div class="scroll" tabindex="0" role="region" aria-label=${name}>
          <table>
            <thead>
              <tr>
                <th scope="col">${this.t("metrics.period")}</th>
                ${bars.map(({ label }) => html`<th scope="col">${this.t(label)}</th>`)}
              </tr>
            </thead>
            <tbody>
              ${buckets.map(
                (bucket) =>
                  html`<tr>
                    <th scope="row">${this.#day(bucket)}${this.#group(bucket)}</th>
                    ${bars.map(({ of }) => {
                      const figure = of(bucket);
                      return html`<td class="number">
                        ${figure === null ? "–" : format(figure)}
                      </td>`;
                    })}
                  </tr>`,
              )}
            </tbody>
          </table>
        </div>
      </details>
    </figure>`;
  }

  /** The escalations by tool. */
  #load({ total }: Metrics): TemplateResult | "" {
    const { approvalLoad } = total;
    if (approvalLoad.length === 0) return "";
    const columns = ["asked", "decided", "expired", "open"] as const;
    const title = this.t("metrics.load");
    return html`<div class="panel stack">
      <h3>${title}</h3>
      <div class="scroll" tabindex="0" role="region" aria-label=${title}>
        <table>
          <thead>
            <tr>
              <th scope="col">${this.t("metrics.tool")}</th>
              ${columns.map((column) => html`<th scope="col">${this.t(`metrics.${column}`)}</th>`)}
            </tr>
          </thead>
          <tbody>
            ${approvalLoad.map(
              (row) =>
                html`<tr>
                  <th scope="row">
                    ${row.tool ? this.untrusted(row.tool) : this.t("metrics.fromPage")}
                    ${
                      row.agentId
                        ? html`<span class="muted"
                            >${this.untrusted(this.agentName(row.agentId))}</span
                          >`
                        : ""
                    }
                  </th>
                  ${columns.map((column) => html`<td class="number">${this.#count(row[column])}</td>`)}
                </tr>`,
            )}
          </tbody>
        </table>
      </div>
    </div>`;
  }

  #day(bucket: Bucket | undefined): string {
    if (!bucket) return "";
    const isHour = Date.parse(bucket.end) - Date.parse(bucket.start) <= 3_600_000;
    const options: Intl.DateTimeFormatOptions = { month: "short", day: "numeric" };
    if (isHour) Object.assign(options, { hour: "2-digit", minute: "2-digit" });
    // Buckets are days and hours in UTC.
    options.timeZone = isHour ? this.timeZone : "UTC";
    return new Intl.DateTimeFormat(this.formatLocale, options).format(new Date(bucket.start));
  }

  #group({ agentId, channel }: Bucket): TemplateResult | "" {
    const group = agentId ? this.agentName(agentId) : (channel ?? "");
    return group ? html` · ${this.untrusted(group)}` : "";
  }

  #count(count: number): string {
    return new Intl.NumberFormat(this.formatLocale).format(count);
  }

  #rate(rate: number | null): string {
    if (rate === null) return "–";
    const options = { style: "percent", maximumFractionDigits: 1 } as const;
    return new Intl.NumberFormat(this.formatLocale, options).format(rate);
  }

  #seconds(seconds: number | null): string {
    if (seconds === null) return "–";
    if (seconds >= 60) return this.duration(1000 * seconds, "short");
    const options = { style: "unit", unit: "second", maximumFractionDigits: 0 } as const;
    return new Intl.NumberFormat(this.formatLocale, options).format(seconds);
  }
}

const RANKS = ["", "second", "third"];
