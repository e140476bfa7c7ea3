import { ManualClock } from '@shardline/core';
import { describe, expect, it } from 'vitest';
import { type SentRequest, SentRequests } from './sent-requests.js';

function setUp() {
  const clock = new ManualClock();
  const sent = new SentRequests(clock, 100);
  const due: string[] = [];
  const send = (name: string, onDue = () => {}): SentRequest => {
    const request = {
      dueMs: sent.dueMs(),
      onDue: () => {
        due.push(name);
        onDue();
      },
    };
    sent.add(request);
    return request;
  };
  return { clock, sent, due, send };
}

describe('requests on their way', () => {
  it('come due each in its own time, though one timer serves them all', async () => {
    const { clock, due, send } = setUp();
    send('a');
    await clock.advance(60);
    send('b');
    await clock.advance(39);
    expect(due).toEqual([]);
    await clock.advance(1);
    expect(due).toEqual(['a']);
    await clock.advance(59);
    expect(due).toEqual(['a']);
    await clock.advance(1);
    expect(due).toEqual(['a', 'b']);
  });

  it('are never due once answered, and never answered once due', async () => {
    const { clock, sent, due, send } = setUp();
    const answered = send('answered');
    const late = send('late');
    expect(sent.end(answered)).toBe(true);
    await clock.advance(100);
    expect(due).toEqual(['late']);
    expect(sent.end(late)).toBe(false);
    expect(sent.end(answered)).toBe(false);
  });

  it('have their time, too, if they are sent by somebody who was just told of another', async () => {
    const { clock, due, send } = setUp();
    send('a', () => send('again'));
    await clock.advance(50);
    send('b');
    await clock.advance(50);
    expect(due).toEqual(['a']);
    await clock.advance(50);
    expect(due).toEqual(['a', 'b']);
    await clock.advance(50);
    expect(due).toEqual(['a', 'b', 'again']);
  });

  it('come due though the store is being closed, and leave no timer behind', async () => {
    const { clock, sent, due, send } = setUp();
    const answered = send('a');
    send('b');
    sent.end(answered);
    sent.close();
    await clock.advance(100);
    expect(due).toEqual(['b']);
    sent.end(send('c'));
    expect(clock.pending).toBe(1);
    sent.close();
    expect(clock.pending).toBe(0);
  });
});
