import { authorizationDocument, keyDocuments } from '../queries/tde-keys.ts';
import {
  irreversible,
  keyFor,
  knownKey,
  openFresh,
  ROLE_HINT,
  switchOn,
} from '../api/routes/tde.ts';
import { TDE_ALGORITHM } from '../queries/tde.ts';
import type { CompatAction } from './compat-action.ts';
import { invalid, type CompatParams } from './compat-params.ts';

const KEY = /^[A-Za-z0-9:/_.-]{1,2048}$/;

/** `ModifyInstanceTDE`: on, for good. The call is the confirmation. */
export const modifyInstanceTde: CompatAction = {
  scope: 'admin',
  params: ['InstanceId', 'TDEStatus', 'EncryptionKey', 'EncryptionName', 'RoleArn'],
  run: async ({ params, control, actor, signal }) => {
    const instance = params.instance();
    params.required('TDEStatus');
    const status = params.oneOf('TDEStatus', ['Enabled', 'Disabled']);
    if (status === 'Disabled') throw irreversible(instance);
    const name = params.text('EncryptionName');
    if (name !== undefined && name !== TDE_ALGORITHM) {
      throw invalid('EncryptionName', `must be ${TDE_ALGORITHM}, the only one, or left out`);
    }
    refuseRole(params);
    const keyId = params.text('EncryptionKey');
    if (keyId !== undefined && !KEY.test(keyId)) throw invalid('EncryptionKey', 'is no key');
    const { keyId: used } = await switchOn(instance, { keyId, confirm: instance }, control, signal);
    const note = { actor, action: 'tde.enable', instance, job: null };
    control.audit.append({ ...note, detail: used ?? '' });
    return {};
  },
};

/** `DescribeInstanceTDEStatus`. */
export const describeInstanceTdeStatus: CompatAction = {
  scope: 'read',
  params: ['InstanceId'],
  run: async ({ params, control, signal }) => {
    const { tde } = await openFresh(params.instance(), control, signal);
    return { TDEStatus: tde.state === 'disabled' ? 'Disabled' : 'Enabled' };
  },
};

/** `DescribeEncryptionKeyList`. */
export const describeEncryptionKeyList: CompatAction = {
  scope: 'read',
  params: ['InstanceId'],
  run: async ({ params, control, signal }) => {
    const { tde } = await openFresh(params.instance(), control, signal);
    const keys = await keyDocuments(tde, control.workspace.keys);
    return { KeyIds: keys.map(({ keyId }) => keyId) };
  },
};

/** `DescribeEncryptionKey`. */
export const describeEncryptionKey: CompatAction = {
  scope: 'read',
  params: ['InstanceId', 'EncryptionKey'],
  run: async ({ params, control, scopes, signal }) => {
    const opened = await openFresh(params.instance(), control, signal);
    const name = params.text('EncryptionKey');
    if (name !== undefined && !KEY.test(name)) throw invalid('EncryptionKey', 'is no key');
    const key = await keyFor(name, opened, control.workspace.keys, scopes);
    return {
      EncryptionKey: key.keyId,
      EncryptionName: TDE_ALGORITHM,
      EncryptionKeyStatus: key.encryptionKeyStatus === 'enabled' ? 'Enabled' : 'Disabled',
      Creator: key.creator,
      Description: key.description,
      Birthtime: key.created ?? '',
      DeleteDate: key.deleteDate ?? '',
      KeyUsage: key.keyUsage.replace('_', '/'),
      MaterialExpireTime: key.materialExpireTime ?? '',
      Origin: key.origin,
    };
  },
};

/** `CheckCloudResourceAuthorized`. */
export const checkCloudResourceAuthorized: CompatAction = {
  scope: 'read',
  params: ['InstanceId', 'RoleArn'],
  run: async ({ params, control, signal }) => {
    refuseRole(params);
    const { tde } = await openFresh(params.instance(), control, signal);
    const ask = (): ReturnType<typeof authorizationDocument> =>
      authorizationDocument(undefined, tde, control.workspace.keys);
    const { authorizationState } = await knownKey(ask);
    return { AuthorizationState: authorizationState };
  },
};

function refuseRole(params: CompatParams): void {
  if (params.text('RoleArn') !== undefined) throw invalid('RoleArn', ROLE_HINT);
}
