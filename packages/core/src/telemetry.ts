import {
  type Attributes,
  context,
  createNoopMeter,
  type Histogram,
  type Meter,
  type MeterProvider,
  metrics,
  type ObservableResult,
  type ProxyTracerProvider,
  type Span,
  SpanKind,
  SpanStatusCode,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';

/**
 * OpenTelemetry that costs nothing while nobody listens.
 *
 * Counts live in plain fields of their owners and are read when a reader collects: a hot path pays for
 * an addition. Spans and histograms need work per call, so the caller first asks whether anyone
 * listens (one comparison) and builds no attributes and no closure if not. Only the API package is
 * used: with no SDK registered there is nobody to listen.
 *
 * A service may register its SDK after it has created its pools, and the metrics API hands out
 * instruments that stay deaf if asked too early. So instruments are made again whenever the global
 * provider is found to have changed; whoever owns a `Telemetry` calls `refresh()` from a timer of its own
 * or from a slow path.
 */

/** A number that is read when metrics are collected. */
export interface ObservedMetric {
  readonly name: string;
  readonly kind: 'counter' | 'up-down-counter' | 'gauge';
  readonly unit: string;
  readonly description: string;
  /** Reports current values; called once per collection, never on a hot path. */
  readonly observe: (report: (value: number, attributes?: Attributes) => void) => void;
}

/** A distribution; values are recorded only while somebody listens. */
export interface RecordedMetric {
  readonly name: string;
  readonly unit: string;
  readonly description: string;
  /** Bucket bounds that suit the values; a reader may choose others. */
  readonly bounds?: readonly number[];
}

/** The instruments and the tracer of one package's objects. */
export class Telemetry {
  readonly #scope: string;
  readonly #version: string;
  readonly #observed: readonly ObservedMetric[];
  readonly #recorded: readonly RecordedMetric[];
  #provider: MeterProvider | undefined;
  #isMeasuring = false;
  #tracedBy: TracerProvider | undefined;
  #histograms = new Map<string, Histogram>();
  #detach: () => void = () => {};

  constructor(options: {
    scope: string;
    version: string;
    observed?: readonly ObservedMetric[];
    recorded?: readonly RecordedMetric[];
  }) {
    this.#scope = options.scope;
    this.#version = options.version;
    this.#observed = options.observed ?? [];
    this.#recorded = options.recorded ?? [];
    this.refresh();
  }

  /** Follows a metrics SDK that was registered after this object was made. */
  refresh(): void {
    const provider = metrics.getMeterProvider();
    if (provider === this.#provider) return;
    this.#detach();
    this.#provider = provider;
    const meter = provider.getMeter(this.#scope, this.#version);
    this.#isMeasuring = meter !== createNoopMeter();
    this.#detach = this.#attach(meter);
    this.#histograms = new Map(
      this.#recorded.map(({ name, unit, description, bounds }) => [
        name,
        meter.createHistogram(name, {
          unit,
          description,
          ...(bounds === undefined ? {} : { advice: { explicitBucketBoundaries: [...bounds] } }),
        }),
      ]),
    );
  }

  /** Whether a metrics SDK is there: ask before computing what `record` is to be given. */
  get isMeasuring(): boolean {
    return this.#isMeasuring;
  }

  /** Whether a tracing SDK is there: ask before building a span's name and attributes. */
  get isTracing(): boolean {
    const provider = trace.getTracerProvider();
    if (provider === this.#tracedBy) return true;
    if (!hasDelegate(provider)) return false;
    this.#tracedBy = provider;
    return true;
  }

  /** Adds a value to a distribution. */
  record(name: string, value: number, attributes?: Attributes): void {
    this.#histograms.get(name)?.record(value, attributes);
  }

  /**
   * Runs work inside a client span. Call it only when `isTracing`; the work goes on unwatched else.
   */
  async trace<T>(
    name: string,
    attributes: Attributes,
    work: (span: Span) => Promise<T>,
  ): Promise<T> {
    const tracer = trace.getTracer(this.#scope, this.#version);
    const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes });
    try {
      return await context.with(trace.setSpan(context.active(), span), () => work(span));
    } catch (error) {
      span.recordException(error as Error);
      span.setStatus({ code: SpanStatusCode.ERROR, message: (error as Error)?.message ?? '' });
      throw error;
    } finally {
      span.end();
    }
  }

  /** Takes every callback back from the SDK. */
  close(): void {
    this.#detach();
    this.#detach = () => {};
    this.#histograms.clear();
  }

  #attach(meter: Meter): () => void {
    const detachers = this.#observed.map((metric) => {
      const instrument = createObservable(meter, metric);
      const callback = (result: ObservableResult) =>
        metric.observe((value, attributes) => result.observe(value, attributes));
      instrument.addCallback(callback);
      return () => instrument.removeCallback(callback);
    });
    return () => {
      for (const detach of detachers) detach();
    };
  }
}

function createObservable(meter: Meter, { name, kind, unit, description }: ObservedMetric) {
  switch (kind) {
    case 'counter':
      return meter.createObservableCounter(name, { unit, description });
    case 'up-down-counter':
      return meter.createObservableUpDownCounter(name, { unit, description });
    case 'gauge':
      return meter.createObservableGauge(name, { unit, description });
  }
}

/** The API's own provider is a proxy without a delegate until an SDK is registered. */
function hasDelegate(provider: TracerProvider & Partial<ProxyTracerProvider>): boolean {
  if (typeof provider.getDelegateTracer !== 'function') return true;
  return provider.getDelegateTracer('shardline') !== undefined;
}
