import { BlockList, isIP } from 'node:net';

/** Networks that no name may lead to, unless a rule names an address within them. */
const SPECIAL: readonly (readonly [network: string, bits: number])[] = [
  ['0.0.0.0', 8], // "this host": some systems connect it to the loopback
  ['169.254.0.0', 16], // link-local, where clouds serve their metadata and credentials
  ['100.100.100.200', 32], // metadata of one cloud
  ['192.0.0.192', 32], // and of another
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['::', 128],
  ['fe80::', 10],
  ['fd00:ec2::254', 128],
  ['ff00::', 8],
];

/** A set of addresses. */
export interface IpRange {
  has(ip: string): boolean;
  /** Whether all of it was named by somebody who knew what lies there. */
  readonly isSpecial: boolean;
}

const special = new BlockList();
for (const [network, bits] of SPECIAL) special.addSubnet(network, bits, familyOf(network));

/** Whether an address leads to this host by its nature. */
export function isLoopback(ip: string): boolean {
  const plain = plainIp(ip);
  return plain === '::1' || plain.startsWith('127.');
}

/** Whether an address is one that no name may lead to by itself. */
export function isSpecialAddress(ip: string): boolean {
  const plain = plainIp(ip);
  return special.check(plain, familyOf(plain));
}

/**
 * One address, or `ADDRESS/BITS`.
 * @returns Null for anything else.
 */
export function parseRange(text: string): IpRange | null {
  const [, address = '', bits] = /^([0-9a-fA-F.:]+)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
  const version = isIP(address);
  if (version === 0) return null;
  const most = version === 4 ? 32 : 128;
  const length = bits === undefined ? most : Number(bits);
  if (length > most) return null;
  const list = new BlockList();
  list.addSubnet(address, length, familyOf(address));
  return {
    has: (ip) => {
      const plain = plainIp(ip);
      return isIP(plain) !== 0 && list.check(plain, familyOf(plain));
    },
    // A wide network that happens to hold a special one does not mean it.
    isSpecial: isSpecialAddress(address) && length >= (version === 4 ? 16 : 10),
  };
}

/** An IPv4 address that is written as one of IPv6 is what it leads to. */
export function plainIp(ip: string): string {
  const bare = ip.replace(/%.*$/, '').toLowerCase();
  const dotted = /^(?:::ffff:|64:ff9b::)(\d+\.\d+\.\d+\.\d+)$/.exec(bare)?.[1];
  if (dotted !== undefined && isIP(dotted) === 4) return dotted;
  const [, high, low] = /^(?:::ffff:|64:ff9b::)([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(bare) ?? [];
  if (high === undefined || low === undefined) return bare;
  const bits = Number.parseInt(high, 16) * 0x10000 + Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => ((bits >>> shift) & 0xff).toString()).join('.');
}

function familyOf(ip: string): 'ipv4' | 'ipv6' {
  return isIP(ip) === 6 ? 'ipv6' : 'ipv4';
}
