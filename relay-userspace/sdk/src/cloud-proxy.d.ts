export type Mode = "UDP_OVER_TCP" | "UDP_ONLY" | "TCP_ONLY";
export type Transport = "udp" | "tcp";

export interface Timing {
  look: number;
  doubt: number;
  quietDoubt: number;
  again: number;
  loss: number;
  lossSpan: number;
  failed: number;
  probe: number;
  probeMost: number;
  dwell: number;
  dwellMost: number;
  calm: number;
}

export interface Options {
  /** The proxy: a host name, or a URL with a path. */
  signalingBaseUrl: string;
  /** Without it UDP_OVER_TCP. */
  preferredProtocol?: Mode;
  /** What the proxy's operator gave this user, or a function that gets it. */
  token: string | (() => string | Promise<string>);
  /** Other thresholds than the defaults, in milliseconds. */
  timing?: Partial<Timing>;
}

export type ErrorCode =
  | "bad-option"
  | "unauthorized"
  | "policy-refused"
  | "rate-limited"
  | "unreachable"
  | "bad-answer"
  | "transport-failed";

export interface Attempt {
  transport: "udp" | "tcp" | "tls";
  server: string;
  elapsed_ms: number;
  result: string;
}

export declare class CloudProxyError extends Error {
  constructor(code: string, message: string, details?: object);
  readonly code: ErrorCode;
  /** HTTP status, where the proxy answered. */
  readonly status?: number;
  /** Seconds, of "rate-limited". */
  readonly retryAfter?: number;
  /** Of "policy-refused". */
  readonly rule?: string;
  /** Of "transport-failed": what was tried, and what to open in the firewall. */
  readonly tried?: Attempt[];
  readonly open?: string[];
}

export interface CloudProxyEventMap {
  "transport-selected": CustomEvent<{ connection: RTCPeerConnection; proto: Transport; elapsed_ms: number; reason: string }>;
  "transport-degraded": CustomEvent<{ connection: RTCPeerConnection; proto: Transport; reason: string }>;
  "transport-switched": CustomEvent<{
    connection: RTCPeerConnection;
    from: Transport;
    to: Transport;
    reason: string;
    /** Nothing arrived for as long before the new path was in use. */
    gap_ms: number;
    /** Packets of media that were counted lost meanwhile. */
    lost: number;
  }>;
  "transport-failed": CustomEvent<{ connection: RTCPeerConnection; error: CloudProxyError }>;
  "policy-refused": CustomEvent<{ rule?: string; error: CloudProxyError }>;
}

export declare class CloudProxy extends EventTarget {
  /** @throws {CloudProxyError} "bad-option" */
  constructor(options: Options);
  readonly signalingBaseUrl: string;
  readonly preferredProtocol: Mode;
  /** For a peer connection of your own; `createPeerConnection` also keeps it on the best transport in mid-call. */
  rtcConfiguration(): Promise<RTCConfiguration & { iceServers: RTCIceServer[]; iceTransportPolicy: "relay" }>;
  createPeerConnection(more?: RTCConfiguration): Promise<RTCPeerConnection>;
  /** Of a path behind the proxy. */
  fetch(path: string | URL, init?: RequestInit): Promise<Response>;
  webSocket(path: string | URL, protocols?: string | string[]): WebSocket;
  addEventListener<K extends keyof CloudProxyEventMap>(
    type: K,
    listener: (event: CloudProxyEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

export interface SignalingMessage {
  description?: RTCSessionDescriptionInit | null;
  candidate?: RTCIceCandidateInit | null;
}

/** Perfect negotiation over your signaling channel. Returns what takes the other side's messages. */
export declare function negotiate(
  connection: RTCPeerConnection,
  channel: { send: (message: SignalingMessage) => void; polite: boolean; onFault?: (fault: unknown) => void },
): (message: SignalingMessage) => Promise<void>;

export declare const MODES: readonly Mode[];
export declare const TIMING: Readonly<Timing>;
